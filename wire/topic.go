package wire

import (
	"fmt"
	"strconv"
	"strings"

	"postern/access"
)

// Prefix begins every topic; a panel's system id follows.
const Prefix = "postern/v1"

// Topic is a topic below postern/v1/{system_id}/.
type Topic string

// The topics. Up is from the panel to central.
const (
	TopicState        Topic = "state"          // up, retained, also the last will
	TopicPanel        Topic = "panel"          // up, retained
	TopicReported     Topic = "reported"       // up, retained
	TopicChange       Topic = "keys/change"    // down, signed
	TopicDesired      Topic = "keys/desired"   // down, retained, signed
	TopicNeed         Topic = "keys/need"      // up
	TopicStatus       Topic = "keys/status"    // up
	TopicPolicy       Topic = "policy"         // down, retained, signed
	TopicPolicyStatus Topic = "policy/status"  // up, retained
	TopicModes        Topic = "doors/mode"     // down, retained, signed
	TopicEvents       Topic = "events"         // up
	TopicAck          Topic = "ack"            // down, signed
	TopicCommand      Topic = "command"        // down, signed
	TopicResult       Topic = "command/result" // up
)

// topicChunk begins the topics of a snapshot's chunks; see ChunkTopic.
const topicChunk = "keys/snapshot/"

// ChunkTopic is the topic of chunk n (from 0) of a snapshot: down, neither
// retained nor signed, as the manifest's hash covers it.
func ChunkTopic(snapshot access.ID, n int) Topic {
	return Topic(topicChunk + snapshot.String() + "/" + strconv.Itoa(n))
}

// Chunk reads a topic that ChunkTopic made.
func (t Topic) Chunk() (snapshot access.ID, n int, ok bool) {
	rest, ok := strings.CutPrefix(string(t), topicChunk)
	if !ok {
		return access.ID{}, 0, false
	}
	id, number, ok := strings.Cut(rest, "/")
	if !ok || len(number) > 7 {
		return access.ID{}, 0, false
	}
	snapshot, err := access.ParseID(id)
	if err != nil {
		return access.ID{}, 0, false
	}
	u, err := strconv.ParseUint(number, 10, 31)
	return snapshot, int(u), err == nil && ChunkTopic(snapshot, int(u)) == t
}

// UpTopics are those that central listens to.
func UpTopics() []Topic {
	return []Topic{
		TopicState, TopicPanel, TopicReported, TopicNeed, TopicStatus, TopicPolicyStatus, TopicEvents, TopicResult,
	}
}

// DownTopics are the filters that a panel listens to, besides its own state; the
// last has every chunk of every snapshot.
func DownTopics() []Topic {
	return []Topic{TopicChange, TopicDesired, TopicPolicy, TopicModes, TopicAck, TopicCommand, topicChunk + "+/+"}
}

// Retained reports whether the broker is asked to keep the last message.
func (t Topic) Retained() bool {
	switch t {
	case TopicState, TopicPanel, TopicReported, TopicDesired, TopicPolicy, TopicPolicyStatus, TopicModes:
		return true
	}
	return false
}

// Signed reports whether messages of the topic are signed by central.
func (t Topic) Signed() bool {
	switch t {
	case TopicChange, TopicDesired, TopicPolicy, TopicModes, TopicAck, TopicCommand:
		return true
	}
	return false
}

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
