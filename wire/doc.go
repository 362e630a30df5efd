// Package wire is the contract between a panel and central: MQTT topics and
// JSON messages, their strict decoding and their encoding. Both ends use it, so
// that what one writes the other reads.
//
// Central keeps one log per panel: within an epoch, revisions 1, 2, 3 … each
// put or remove one key. The panel consumes every revision once, in order, and
// answers with its result. The broker in between is transport: nothing relies
// on its memory, so each side sends again what the other has not confirmed in
// a message of its own.
//
// Decoding is strict in what could be misread and lenient in what may grow:
// unknown members are ignored, a member that appears twice or in another case
// is refused, and everything is bounded. Examples lie in testdata/wire.
package wire
