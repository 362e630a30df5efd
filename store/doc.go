// Package store keeps what a panel must not forget: the access keys that
// central sent, what became of each, the lockouts, and the journal of events.
//
// Two bbolt files lie in one directory. keys.db is the panel's replica of
// central's log: the latest put of each key, and the outbox of results. An index
// from credential to key is made of it in memory. journal.db holds events until
// central has confirmed them, and a number of confirmed ones for people. They are
// apart so that an event's commit stays small and damage to one spares the other.
// The last good time lies beside them in a small file, and outlives both.
//
// Every change goes through one committer goroutine per file, which takes
// whatever queued up during its last commit: a lone change waits for nobody and
// a crowd shares one fsync. A call that changes something returns after the
// commit that holds it, never before. Run is the committers; until it runs,
// changes wait.
//
// A snapshot of all keys arrives in chunks, which lie encrypted in a file of their
// own and survive restarts. When they are all there a new keys.db is built from
// them, sorted, beside the one in use; changes that come meanwhile go into the one
// in use, and are noted there. Then, with the committer paused, the new file takes
// them up, gets the lockouts and the outbox, is synced and renamed, and lookups
// that begin from then on read it. Policy and door modes, which are no keys, lie in
// small files of their own (ReadDocument, WriteDocument).
//
// Keys that can't be told apart at a door are decided by claim: the index orders
// the keys of a credential by claim and id, and the first is the one key that may
// open with it. What a key may do is therefore a function of the latest puts and
// the policy alone, whatever way they came.
//
// A few local keys are kept at the panel alone. Their claim is below every other,
// and neither position nor outbox knows of them; snapshots leave them in place.
//
// No code or PIN is stored in clear. A code is indexed by HMAC-SHA256(device
// key, "code" ‖ digits), a PIN kept as HMAC-SHA256(device key, key id ‖ PIN), and
// the device key lies elsewhere.
//
// Storage is an SD card, and SD cards rot. Each record carries a CRC-32C over
// its bucket, key and value; bbolt itself has none, and its damaged pages panic
// or fault. So Open has each file checked first (in a child process, when the
// caller wants), puts a damaged one aside under a dated name and starts empty:
// doors then deny what they don't know, and central sends a snapshot. Damage met
// later turns into an error for the one asking, closes Damaged, and leaves a
// marker that makes the next start put the file aside. What a start that was cut
// left half done there, the next one ends.
//
//	s, recovery, err := store.Open(ctx, store.Options{Dir: "/var/lib/postern", …})
//	go s.Run(ctx)
//	keys, err := s.Lookup(credential)
package store
