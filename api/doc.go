// Package api is the panel's local HTTP: what an installer's tools ask of a
// running daemon, and the page on which a panel is proved.
//
// There are two faces, and they trust different things. The unix socket
// ([Server.Socket]) trusts whoever the file's mode lets in; it may unlock a
// door. The page ([Server.Page]) is loopback TCP without a login, so it trusts
// nobody: it answers only to a loopback Host (a web site can point its own name
// at 127.0.0.1), takes a POST only from itself, and offers nothing that moves a
// lock unless the board is simulated.
//
// The package knows the daemon as a [Backend] only. Digits that someone types
// come in on one request and go to the board; they are never answered, logged
// or shown again.
//
//	GET  /v1/status                    Status
//	GET  /v1/doors                     {"doors": [Door]}
//	GET  /v1/events?before=&limit=     {"events": [Event]}, newest first
//	GET  /v1/keys?after=&limit=        {"keys": [Key]}, by ascending id
//	GET  /v1/keys/{id}                 Key
//	GET  /v1/watch                     Message, one a line, until either side ends it
//	POST /v1/doors/{id}/unlock         204
//	POST /v1/readers/{id}/identify     204
//	POST /v1/outputs/{id}              {"on"} → 204
//	POST /v1/sim/badge                 {"reader", "identification" or "bits"} → {"sent"}
//	POST /v1/sim/keys                  {"reader", "keys"} → 204
//	POST /v1/sim/contact               {"door", "open"} → 204
//	POST /v1/sim/rex                   {"door"} → 204
//	POST /v1/sim/tamper                {"reader", "open"} → 204
//	POST /v1/sim/input                 {"input", "active"} → 204
//
// Anything refused is {"error": {"code", "message"}}.
package api
