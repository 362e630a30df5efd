// Package scenarios proves the panel's decisions: the real controller, the real
// rules and a real store on bbolt files, in virtual time, against a model that
// was written from the rules as people know them and not from the code.
//
// A scenario is some twenty things that people, doors, clocks, operators, central
// and bad luck do at one panel: badges of cards known, unknown, blacklisted, out
// of their window or not to be told apart; PINs right, wrong and under duress;
// codes, contacts that move or can't be read, exit buttons, fire, lockdown inputs,
// orders of central and at the panel, key updates, other policies, central away, clocks that jump or can't
// be believed, restarts, and power cuts at any commit. After each the model says which events must have
// been committed at which instant and what each lock must have done since; nothing
// else may have happened. At the end of each scenario the store must hold the
// keys, lockouts, places and the journal that the model holds.
//
// The model is told what crosses the devices' interfaces, with its instant, and
// when the daemon told a door another mode: such a change may come a few
// milliseconds after its cause, ten seconds when that is a clock that was set.
//
// Scenarios follow one another on one panel, in runs of one seed each. A failure
// names the seed, which replays that run exactly and tells what it did:
//
//	POSTERN_SEED=17 go test -v ./systemtest/scenarios
//
// (With the race detector goroutines take turns at random, and no run is another's
// like.) POSTERN_SCENARIOS says how many are played, from the run of POSTERN_SEED
// on; POSTERN_REPORT names a file for the counts. With -v it says how far it is.
package scenarios
