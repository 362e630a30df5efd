package wire

import (
	"fmt"
	"strings"
)

// Prefix begins every topic; a panel's system id follows.
const Prefix = "postern/v1"

// Topic is a topic below postern/v1/{system_id}/.
type Topic string

// The topics. Up is from the panel to central.
const (
	TopicState    Topic = "state"       // up, retained, also the last will
	TopicPanel    Topic = "panel"       // up, retained
	TopicReported Topic = "reported"    // up, retained
	TopicChange   Topic = "keys/change" // down
	TopicNeed     Topic = "keys/need"   // up
	TopicStatus   Topic = "keys/status" // up
	TopicEvents   Topic = "events"      // up
	TopicAck      Topic = "ack"         // down
)

// UpTopics are those that central listens to.
func UpTopics() []Topic {
	return []Topic{TopicState, TopicPanel, TopicReported, TopicNeed, TopicStatus, TopicEvents}
}

// DownTopics are those that a panel listens to, besides its own state.
func DownTopics() []Topic { return []Topic{TopicChange, TopicAck} }

// Retained reports whether the broker is asked to keep the last message.
func (t Topic) Retained() bool { return t == TopicState || t == TopicPanel || t == TopicReported }

// Of is the whole topic for one panel; "+" is every panel.
func (t Topic) Of(systemID string) string {
	return Prefix + "/" + systemID + "/" + string(t)
}

// SplitTopic reads a whole topic.
func SplitTopic(topic string) (systemID string, t Topic, ok bool) {
	rest, ok := strings.CutPrefix(topic, Prefix+"/")
	if !ok {
		return "", "", false
	}
	id, sub, ok := strings.Cut(rest, "/")
	if !ok || CheckSystemID(id) != nil {
		return "", "", false
	}
	return id, Topic(sub), true
}

// CheckSystemID says what is wrong with a panel's system id, nil when it is 1
// to 64 letters, digits, '-' or '_': it is a level of a topic.
func CheckSystemID(s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("a system id has 1 to 64 characters")
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		if !ok {
			return fmt.Errorf("system id %.70q has a character other than letters, digits, '-' and '_'", s)
		}
	}
	return nil
}
