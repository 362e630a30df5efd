// Package timing proves that the time of an answer does not tell a right PIN from a
// wrong one: not by the digit at which it goes wrong, not by what it opens, not by
// whether the key has one at all.
//
// Tries of two classes follow one another at random in one run, so that whatever
// else the machine does falls on both; Welch's t-test then compares their times, of
// all of them and of the fastest parts, where a leak would not drown in noise
// (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", 2017). Above
// 4.5 the classes differ. A class that does leak, a comparison that ends at the
// first wrong digit, has to be found by the same test, or it shows nothing.
//
// With POSTERN_PIN_TIMING=full there are 100,000 tries of each class; otherwise so
// few that only a gross leak would show, and the controls find theirs. A difference
// that was chance does not come back, so one is believed after three runs in a row.
package timing
