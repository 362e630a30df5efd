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
// Only panels that an operator made known (Store.AddPanel) take part, and a
// panel is told only of keys that have a level it owns. A panel that is ahead
// of its log, or that has another history, is told nothing and raises an alarm:
// a restored database must not bring revoked keys back.
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
