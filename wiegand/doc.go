// Package wiegand turns the pulses of proximity readers and keypads into
// numbers, and back.
//
// A reader has two open-collector lines that idle high. A falling pulse on D0
// is a 0, on D1 a 1, most significant bit first (SIA AC-01: 20 to 100 µs wide,
// 200 µs to 20 ms apart; real readers stray from both). Nothing marks the
// beginning or the end: a frame ends by silence alone.
//
// # From pulses to frames
//
// [Framer] collects pulses until it is told that the line went silent. It has
// no clock on purpose. In user space the time at which a pulse is read says
// nothing about the time at which it came: a process that was stalled for a
// tenth of a second finds a whole frame queued, and one that was stalled in the
// middle of a frame sees a gap the wire never had. Cutting there would make a
// shorter frame, perhaps a valid one, and a stray key press of the rest. So the
// loop that reads the lines decides, and by one sign only: a wait for the next
// edge timed out, and a second wait of 1 ms right after it timed out too, which
// shows that nothing was queued behind the first.
//
// A train of more than [MaxBits] pulses is noise. Its [Frame] tells how many
// pulses there were and holds no bits, so it can't decode to anything.
//
// # From frames to numbers
//
// The length of a frame does not tell its format, and most formats have one
// parity bit or two and no more. So a reader declares the formats it uses, and
// [Decode] tries those and no others:
//
//	h10301, _ := wiegand.Lookup("H10301")
//	bits, _ := wiegand.ParseBits("10000101100000010011111010") // 11-637
//	candidates, err := wiegand.Decode(bits, []wiegand.Format{h10301})
//
// The raw formats have no parity at all. Where they are declared, any noise of
// the right length is a number; what protects there is that the number has to
// be a known key.
//
// H10304 and H10302 have the same parity, so that every frame passes both; a
// reader that lists both gets both readings. A site's own formats are described
// by [Spec].
//
// # Serial numbers
//
// A reader that sends a card's serial number has two choices that don't show in
// the frame, so both are declared; [FromReader] undoes them.
//
// The [Order] is that of the bytes on the wire. A serial number is written first
// byte first (04 A2 24 6A 8F 31 80 is 0x04A2246A8F3180). [MSB] sends it so,
// [LSB] sends the bytes it sends last byte first. Bits within a byte never turn.
//
// The [Part] is how much of a 7-byte UID is sent. It picks from the UID as it is
// written, and the order turns what was picked:
//
//	first4 MSB   04 A2 24 6A      first4 LSB   6A 24 A2 04
//	last4  MSB   6A 8F 31 80      last4  LSB   80 31 8F 6A
//	whole  LSB   80 31 8F 6A 24 A2 04
//
// A reader that turns the whole UID and then keeps the low four bytes sends its
// first bytes, turned: first4 LSB. One that sends the cascade tag, 88 and three
// bytes of the UID, fits none of these and can't be used. Where a frame holds
// fewer bytes than any part (24 bits of H10301), the part is Whole, the order is
// that of the bytes in the frame, and they are the number's low ones.
//
// # Keypads
//
// A keypad sends each key as a short frame of its own in one of several
// encodings, which is declared as well and never guessed: a 4-bit burst and
// half an 8-bit burst look the same. [Entry] joins keys to what was typed. Some
// keypads gather the digits themselves, see [Buffered]. Digits that were typed
// are secrets; nothing here prints them, not in errors either.
//
// # Faults
//
// [SwapWatch] looks for data lines that are swapped, [Health] joins all that is
// seen of a reader to one state, and [Explain] says what each format makes of a
// frame. None of them decides anything about a door.
//
// The package is pure: no input or output, no clock, no goroutines. Time comes
// in as an argument.
package wiegand
