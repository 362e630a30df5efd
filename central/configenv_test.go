package central

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEnvironment(t *testing.T) {
	c := DefaultConfig()
	err := c.Override([]string{
		"HOME=/root", "POSTERN_CENTRAL_LISTEN=0.0.0.0:1", "POSTERN_CENTRAL_RATE_LIMIT=7", "POSTERN_CENTRAL_MQTT_BROKER=ssl://b:8883",
		"POSTERN_CENTRAL_BROKER_LISTEN=", "POSTERN_CENTRAL_DATABASE=postgres:///x?a=b",
	})
	want := DefaultConfig()
	want.Listen, want.RateLimit, want.MQTT.Broker, want.Database = "0.0.0.0:1", 7, "ssl://b:8883", "postgres:///x?a=b"
	if d := cmp.Diff(want, c); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	err = c.Override([]string{"POSTERN_CENTRAL_LISEN=hunter2", "POSTERN_CENTRAL_MQTT=x", "POSTERN_CENTRAL_RATE_LIMIT=lots-hunter2"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{"POSTERN_CENTRAL_LISEN is not known", "POSTERN_CENTRAL_MQTT is not known", "RATE_LIMIT: want a number", "POSTERN_CENTRAL_LISTEN"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %q in it", err, part)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error repeats a value")
	}
}

// TestEveryMemberHasAVariable: what is of another kind than text or number would
// silently be none.
func TestEveryMemberHasAVariable(t *testing.T) {
	for _, s := range new(Config).settings() {
		if k := s.value.Kind().String(); k != "string" && k != "int" {
			t.Errorf("%s is of kind %s, which Override does not set", s.variable, k)
		}
	}
	if n := len(EnvironmentVariables()); n < 16 {
		t.Errorf("only %d variables", n)
	}
}
