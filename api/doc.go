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
// A copy of the store holds all that the panel knows, what it shows to nobody
// included. It is handed to root and to the daemon's own user, by what the kernel
// says of the socket's other end; the members of the socket's group don't get it.
//
// The package knows the daemon as a [Backend] only. Digits that someone types
// come in on one request and go to the board; they are never answered, logged
// or shown again. What an explanation says about a code or a PIN is worth a try at
// the keypad, and counts for none: so it is for the socket alone, once a second.
//
// A PIN typed under duress is told to central and to nobody here. Whoever stands
// behind the one who typed it may look at this panel: neither the journal, nor what
// is watched, nor a gap in the numbers gives it away.
//
//	GET  /v1/status                    Status
//	GET  /v1/doors                     {"doors": [Door]}
//	GET  /v1/events?before=&limit=     {"events": [Event]}, newest first
//	GET  /v1/keys?after=&limit=        {"keys": [Key]}, by ascending id
//	GET  /v1/keys/{id}                 Key
//	GET  /v1/watch                     Message, one a line, until either side ends it
//	GET  /v1/events/{seq}/trace        Trace
//	GET  /v1/store                     a tar file of the store, for root alone
//	GET  /v1/policy                    Policy
//	GET  /v1/policy/document           the policy in force, as central sends one
//	GET  /v1/inside?area=              {"areas": [Area]}
//	POST /v1/forgive                   {"person" or "all"} → {"forgiven"}
//	POST /v1/explain                   {"reader", "identification" or "code", "pin", "at"} → Explanation
//	GET  /v1/local-keys                {"keys": [Key]}
//	POST /v1/local-keys                {"identification" or "code", "pin", "valid_from", "valid_to", "access_levels"} → Key
//	DELETE /v1/local-keys/{id}         204
//	POST /v1/doors/{id}/unlock         204
//	POST /v1/doors/{id}/mode           {"mode", "until"} → 204; "*" is every door, the mode Clear takes the order back
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
