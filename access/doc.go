// Package access is the domain of a door controller: keys and the credentials
// that readers make of them, access levels and schedules, the decision at an
// access point, and the state machine of a door.
//
// Everything here is pure. There is no I/O, no goroutine and no clock: time
// comes in as an argument, so a decision can be replayed from its inputs.
// What a key may do on a panel is a function of the latest puts that central
// sent and of the panel's own policy, never of the order in which they came.
//
// A Policy is one document: levels and their schedules with holidays, what
// access points ask for and when, areas, rules for people, doors' times. Decide
// judges a badge by it in a fixed order of rules, and Explain tells each step.
// What spans several badges is plain data that goes in and comes out: who is
// where (Presence), who was before at an access point (Pair), until when a first
// card has unlocked a door. DoorWish says what orders and schedules want a door
// to be; what it then is, is for the Door.
//
// A denial is a Decision and a rejected update is a Result; neither is an
// error. Errors are for input that cannot be what it claims to be.
//
// Codes and PINs are secrets. A Credential or an Identification that holds a
// code masks it in String and in logs; Canonical gives it in clear and is for
// storing, sealing and comparing alone.
package access
