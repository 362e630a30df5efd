// Package hal is the board: the readers, the locks, the door contacts, the REX
// inputs, and the readers' LEDs and buzzers of one panel, over periph. [Open]
// takes the real lines; [OpenSim] takes simulated ones behind the very same
// code, so that all but the last step to the kernel is what runs in the field.
//
//	board, err := hal.Open(wiring, log)
//	if err != nil { … }
//	defer board.Close() // every lock goes to its rest state
//	reader, _ := board.Reader("front")
//	for {
//		frame, err := reader.Read(ctx)
//		…
//	}
//
// # Lines
//
// A line is named as the kernel names it ("GPIO17"), or by its chip's label and
// its number there ("pinctrl-bcm2711:17") where two chips have lines of one
// name. Global numbers are not taken: they differ between models. Lines of
// readers and inputs need a name of their own in either case, since periph
// opens sets of lines by name.
//
// # Readers
//
// The two lines of a reader are one set with one queue in the kernel, for two
// sets lose the order of the bits. The queue holds 16 events for each line of
// the set and drops the oldest in silence. Two lines hold 32 bits, less than
// many a frame when the process is stalled: two spare input lines (see
// [ReaderWiring]) make it 64. One goroutine does nothing but read the set and
// close frames; see package wiegand for how silence is told.
//
// # Inputs
//
// A change of an input counts when there was no edge for its debounce time, which
// is 20 to 400 ms whatever the wiring: what is shorter is never seen, what is
// longer always is. Contacts, tampers and supervised inputs are pulled to the
// level that means active, so that a cut wire is an alarm and not silence.
//
// # Faults
//
// Lines that fail while the board is open are closed and opened again, after a
// second at first and half a minute at last, until that works or the board is
// closed. Whoever reads is told once by an error that wraps [ErrFault]; the next
// call waits for the lines that are open again. What changed meanwhile at an input
// is seen then; what was sent at a reader is lost, as is a frame that the fault
// cut. An output goes back to what was set last. Lines that can't be had when the
// board is opened are the error of Open instead: a panel whose wiring does not fit
// has to be told so, not to wait.
//
// A program that died can put nothing at rest. [Rest] does so from the next one.
//
// # Outputs
//
// Whatever ends this process, an output's line becomes an input or keeps its
// level, and a pull resistor on the board holds it at rest. What this package
// drives first is the same rest level. The kernel interface that periph uses
// can't begin an output at high: the line is low for an instant first. So an
// output that rests low is driven both ways, and an output that rests high is
// driven as an open drain: low, or let go for the pull-up to hold. It is never
// driven high, so that neither the start nor a change passes through a level
// that would release a lock for an instant. Such an output needs its pull-up
// resistor (relay boards with active-low inputs bring one); the panel needs it
// anyhow for the time in which no process runs.
//
// # Standard input
//
// periph's driver can close file descriptor 0 while it looks for chips. Open
// puts /dev/null there when it is missing. So Open comes before anything else
// in the program opens files.
package hal
