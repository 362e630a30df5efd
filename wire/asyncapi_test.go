package wire

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oasdiff/yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"postern/access"
)

// document is what the tests read of docs/asyncapi.yaml.
type document struct {
	AsyncAPI string `json:"asyncapi"`
	Channels map[string]struct {
		Address    string         `json:"address"`
		Parameters map[string]any `json:"parameters"`
		Messages   map[string]ref `json:"messages"`
	} `json:"channels"`
	Operations map[string]struct {
		Action   string `json:"action"`
		Channel  ref    `json:"channel"`
		Messages []ref  `json:"messages"`
		Bindings struct {
			MQTT *struct {
				QoS    int  `json:"qos"`
				Retain bool `json:"retain"`
			} `json:"mqtt"`
		} `json:"bindings"`
	} `json:"operations"`
	Components struct {
		Messages map[string]struct {
			Signed      bool   `json:"x-signed"`
			ContentType string `json:"contentType"`
			Payload     ref    `json:"payload"`
		} `json:"messages"`
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type ref struct {
	To string `json:"$ref"`
}

// name is what a reference names last.
func (r ref) name() string { return r.To[strings.LastIndex(r.To, "/")+1:] }

type schema struct {
	ref
	Type       string            `json:"type"`
	Encoding   string            `json:"contentEncoding"`
	Items      *schema           `json:"items"`
	Required   []string          `json:"required"`
	Properties map[string]schema `json:"properties"`
	Events     map[string]string `json:"x-event-types"`
}

func readDocument(t *testing.T) (d document, raw any) {
	t.Helper()
	text, err := os.ReadFile("../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if _, err := yaml.Unmarshal(text, &v, yaml.DecodeOpts{DisableTimestamps: true}); err != nil {
		t.Fatal(err)
	}
	data := Encode(v)
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	if raw, err = jsonschema.UnmarshalJSON(bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return d, raw
}

// topicConstants are those of the source, so that none can be forgotten in a list.
func topicConstants(t *testing.T) []Topic {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "topic.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []Topic
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Topic" {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Topic(text))
		}
		return true
	})
	if len(out) == 0 {
		t.Fatal("topic.go has no topics")
	}
	return append(out, topicChunk+"+/+")
}

// The document has every topic, in its direction, with what the broker is to do
// with it, and no other.
func TestAsyncAPITopics(t *testing.T) {
	d, _ := readDocument(t)
	if d.AsyncAPI != "3.0.0" {
		t.Errorf("version is %q", d.AsyncAPI)
	}
	type facts struct {
		Action         string
		Retain, Signed bool
	}
	want := map[Topic]facts{}
	up, down := UpTopics(), DownTopics()
	for _, topic := range topicConstants(t) {
		isUp, isDown := slices.Contains(up, topic), slices.Contains(down, topic)
		if isUp == isDown {
			t.Errorf("%s goes up: %v, down: %v", topic, isUp, isDown)
		}
		f := facts{Action: "receive", Retain: topic.Retained(), Signed: topic.Signed()}
		if isUp {
			f.Action = "send"
		}
		want[topic] = f
	}
	got := map[Topic]facts{}
	parameter := regexp.MustCompile(`\{(\w+)\}`)
	for name, op := range d.Operations {
		c, ok := d.Channels[op.Channel.name()]
		if !ok {
			t.Errorf("operation %s is on the unknown channel %s", name, op.Channel.To)
			continue
		}
		for _, p := range parameter.FindAllStringSubmatch(c.Address, -1) {
			if _, ok := c.Parameters[p[1]]; !ok {
				t.Errorf("channel %s does not know its parameter %s", op.Channel.name(), p[1])
			}
		}
		_, topic, ok := SplitTopic(parameter.ReplaceAllString(strings.Replace(c.Address, "{systemId}", "gate-1", 1), "+"))
		if !ok {
			t.Errorf("%s is no address of a topic", c.Address)
		}
		if len(op.Messages) != 1 || len(c.Messages) != 1 {
			t.Errorf("operation %s has %d messages, its channel %d, want one", name, len(op.Messages), len(c.Messages))
			continue
		}
		if _, ok := c.Messages[op.Messages[0].name()]; !ok {
			t.Errorf("operation %s has a message that its channel has not", name)
		}
		if op.Bindings.MQTT == nil {
			if name != "hearState" {
				t.Errorf("operation %s has no MQTT binding", name)
			}
			continue
		}
		m := d.Components.Messages[c.Messages[op.Messages[0].name()].name()]
		if _, double := got[topic]; double || op.Bindings.MQTT.QoS != 1 {
			t.Errorf("operation %s is there twice, or its QoS is not 1", name)
		}
		got[topic] = facts{op.Action, op.Bindings.MQTT.Retain, m.Signed}
		if binary := m.ContentType != ""; binary != strings.HasPrefix(string(topic), topicChunk) {
			t.Errorf("operation %s has the content type %q", name, m.ContentType)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics (-code +document):\n%s", diff)
	}
	if len(d.Operations) != len(d.Channels)+1 || len(d.Components.Messages) != len(d.Channels) {
		t.Errorf("%d operations, %d channels, %d messages", len(d.Operations), len(d.Channels), len(d.Components.Messages))
	}
}

// payloads are the messages of this package, by the name of their channel.
var payloads = map[string]reflect.Type{
	"state": reflect.TypeFor[State](), "panel": reflect.TypeFor[Panel](), "reported": reflect.TypeFor[Reported](),
	"change": reflect.TypeFor[Changes](), "desired": reflect.TypeFor[Desired](), "need": reflect.TypeFor[Need](),
	"status": reflect.TypeFor[Statuses](), "policy": reflect.TypeFor[Policy](), "policyStatus": reflect.TypeFor[PolicyStatus](),
	"modes": reflect.TypeFor[DoorModes](), "events": reflect.TypeFor[Events](), "ack": reflect.TypeFor[Ack](),
	"command": reflect.TypeFor[Command](), "result": reflect.TypeFor[CommandResult](),
}

// The document has every member of every message, and no other.
func TestAsyncAPISchemas(t *testing.T) {
	d, _ := readDocument(t)
	seen := map[string]bool{"UUID": true, "Digest": true, "Time": true}
	for channel, typ := range payloads {
		if got := d.Components.Messages[channel].Payload.name(); got != typ.Name() {
			t.Errorf("message %s is %q, want %s", channel, got, typ.Name())
		}
		checkSchema(t, d, typ, seen)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[Signed](), reflect.TypeFor[SnapshotKey](), reflect.TypeFor[Key]()} {
		checkSchema(t, d, typ, seen)
	}
	for name := range d.Components.Schemas {
		if !seen[name] {
			t.Errorf("schema %s is of no message", name)
		}
	}
}

// TestAsyncAPIEventTypes holds the document's numbers and words against those of
// the source.
func TestAsyncAPIEventTypes(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../access/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) == 0 {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "EventType" {
			return true
		}
		for i, v := range spec.Values {
			number := v.(*ast.BasicLit).Value
			n, err := strconv.ParseUint(number, 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			text := access.EventType(n).Text()
			if text == access.EventType(0).Text() {
				t.Errorf("%s has no text", spec.Names[i])
			}
			if other, twice := want[number]; twice {
				t.Errorf("%s has the number of %q", spec.Names[i], other)
			}
			want[number] = text
		}
		return true
	})
	d, _ := readDocument(t)
	if diff := cmp.Diff(want, d.Components.Schemas["Entry"].Properties["type"].Events); diff != "" || len(want) < 50 {
		t.Errorf("x-event-types of Entry in docs/asyncapi.yaml (-want +got):\n%s", diff)
	}
}

func checkSchema(t *testing.T, d document, typ reflect.Type, seen map[string]bool) {
	t.Helper()
	if seen[typ.Name()] {
		return
	}
	seen[typ.Name()] = true
	s, ok := d.Components.Schemas[typ.Name()]
	if !ok || s.Type != "object" {
		t.Errorf("there is no schema of an object %s", typ.Name())
		return
	}
	left := maps.Clone(s.Properties)
	var always []string
	for _, f := range reflect.VisibleFields(typ) {
		name, option, tagged := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" {
			continue
		}
		p, ok := s.Properties[name]
		if !ok {
			t.Errorf("schema %s lacks %s", typ.Name(), name)
			continue
		}
		delete(left, name)
		if !tagged || option == "" {
			always = append(always, name)
		}
		checkMember(t, d, typ.Name()+"."+name, f.Type, p, seen)
	}
	for name := range left {
		t.Errorf("schema %s has %s, which the message has not", typ.Name(), name)
	}
	// Central's operators write policies, who may leave out more than Encode does.
	policy := strings.HasPrefix(typ.Name(), "Policy")
	for _, name := range s.Required {
		if !slices.Contains(always, name) {
			t.Errorf("schema %s requires %s, which may be left out", typ.Name(), name)
		}
	}
	if !policy && len(s.Required) != len(always) {
		t.Errorf("schema %s requires %v, want %v", typ.Name(), s.Required, always)
	}
}

func checkMember(t *testing.T, d document, path string, typ reflect.Type, p schema, seen map[string]bool) {
	t.Helper()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	kind, name := "", ""
	switch {
	case typ == reflect.TypeFor[access.ID]():
		name = "UUID"
	case typ == reflect.TypeFor[access.Digest]():
		name = "Digest"
	case typ == reflect.TypeFor[time.Time]():
		name = "Time"
	case typ == reflect.TypeFor[json.RawMessage]():
		name = "Key"
	case typ == reflect.TypeFor[[]byte]():
		kind = "string"
		if p.Encoding != "base64" {
			t.Errorf("%s is encoded as %q, want base64", path, p.Encoding)
		}
	case typ.Kind() == reflect.Struct:
		name = typ.Name()
		checkSchema(t, d, typ, seen)
	case typ.Kind() == reflect.Slice:
		kind = "array"
		if p.Items == nil {
			t.Errorf("%s has no items", path)
			return
		}
		checkMember(t, d, path+"[]", typ.Elem(), *p.Items, seen)
	case typ.Kind() == reflect.String:
		kind = "string"
	case typ.Kind() == reflect.Bool:
		kind = "boolean"
	default:
		kind = "integer"
	}
	if p.Type != kind || p.ref.name() != name {
		t.Errorf("%s is %q %q in the document, want %q %q", path, p.Type, p.ref.name(), kind, name)
	}
}

// Every example is as the document says, and the document says no to what the
// code can't read.
func TestAsyncAPIExamples(t *testing.T) {
	d, raw := readDocument(t)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	c.AssertFormat()
	if err := c.AddResource("asyncapi.json", raw); err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*jsonschema.Schema{}
	for name := range d.Components.Schemas {
		s, err := c.Compile("asyncapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatalf("schema %s: %v", name, err)
		}
		schemas[name] = s
	}
	examples := map[string]string{"policy.json": "Policy", "policy-minimal.json": "Policy"}
	for _, g := range golden {
		examples[g.file] = reflect.TypeOf(g.msg).Name()
	}
	for file, name := range examples {
		text, err := os.ReadFile(filepath.Join("../testdata/wire", file))
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas[name].Validate(v); err != nil {
			t.Errorf("%s is no %s: %v", file, name, err)
		}
		// Without it, or as another type, each required member is missed.
		object := v.(map[string]any)
		for _, member := range d.Components.Schemas[name].Required {
			was := object[member]
			delete(object, member)
			if schemas[name].Validate(v) == nil {
				t.Errorf("%s is a %s without %s", file, name, member)
			}
			if object[member] = 0.5; schemas[name].Validate(v) == nil {
				t.Errorf("%s is a %s with half of %s", file, name, member)
			}
			object[member] = was
		}
	}
}
