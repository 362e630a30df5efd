// Package protocol proves the way between central and a panel as a whole: the
// real link of central on a real database, the real client of a panel on a real
// store, and between them a broker that does what brokers do at their worst. All
// runs in virtual time, so that a night of outages takes milliseconds.
//
// It has tests alone. A small model beside them says what must come of a
// history, whatever happened on the way: see model_test.go.
package protocol
