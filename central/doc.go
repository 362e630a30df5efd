// Package central is the reference central server of Postern: an HTTP API
// north, MQTT south, and a SQL database between that holds the truth.
//
// Integrations add access keys over HTTP. For every panel that owns an access
// level of such a key, the same transaction appends a revision to that panel's
// log. The link brings each panel up to its log: it sends what a panel has not
// reported, sends again what makes no progress, and stores what comes up,
// results and events, before it confirms them. Nothing is kept in memory that
// the database and the panels' own messages can't bring back, so the server
// may be killed at any moment, and the broker may lose its store.
//
// A panel that deltas can't bring into step (its keys are not those of its log,
// it is in a lower epoch, it begins with nothing and the log is long or pruned,
// its device key was changed) is offered a snapshot: all its keys at one
// revision, frozen as sealed chunks in the database until it has them. Changes
// go on meanwhile. One that is wrong again straight after raises an alarm and
// is tried hourly.
//
// Only panels that an operator made known (Store.AddPanel) take part, and a
// panel is told only of keys that have a level it owns. A panel that is ahead
// of its log, or in a higher epoch, is told no keys and raises an alarm until an
// operator says that the log counts (Store.ResyncPanel): a restored database
// must not bring revoked keys back.
//
// Policy and door modes are documents with versions of their own, which go out
// whole to a panel that has an older one. Commands (Store.Command) go through
// the database to whichever process has the link, and are over after
// CommandTime: an unlock never fires late. What panels act on is signed with
// the keys of a file (Signer), if there is one.
//
// Codes and PINs are sealed at rest under a key that lies outside the database,
// and never reach a log or an error.
//
//	s, err := central.Open(ctx, central.StoreOptions{Database: "central.db", SecretKeyFile: "secret.key"})
//	...
//	key, err := s.CreateAPIKey(ctx, central.APIKeySpec{Integration: "reception"})
//	err = s.AddPanel(ctx, "abc123-001")
//	err = central.Serve(ctx, cfg, logger, nil)
package central
