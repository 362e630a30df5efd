// Package config reads panel.toml, the one file that tells a panel who it is,
// how it is wired, and what it decides until central sends a policy.
//
// The file is decoded strictly: an unknown member, a wrong type, a value out of
// bounds, a reference to nothing and a line of the board that is used twice are
// faults, never guesses, because a panel that half understands its file opens
// or locks the wrong door. Parse gives every fault at once, each with its line,
// so that an installer corrects a file in one go:
//
//	panel.toml:12: reader[0].fromats: is not known: did you mean formats?
//	panel.toml:18: reader[0].led: GPIO24 is used by reader[0].d0 already (line 13)
//
// Only a file that is not TOML gets its syntax faults alone. A value that is
// wrong gives one fault, the first that was found at its path.
//
// What a site has of its own is described, not programmed: frames in [[format]],
// what lamps and beepers do in [indication], see [Pattern], and lines that belong
// to no reader and no door in [[input]] and [[output]].
//
// A member that is left out means what Default, DefaultReader, DefaultDoor,
// DefaultAccessPoint and DefaultInput say. Durations are texts with their unit ("40ms"); files and sockets are
// absolute paths, since a daemon has no folder of its own to start from; the
// file holds no secrets, only the names of files that do. The time zones come
// with the program, so that schedules hold on a panel without a zone database.
//
//	c, faults, err := config.Load("/etc/postern/panel.toml")
//	if err != nil {
//		return err // it can't be read
//	}
//	for _, f := range faults {
//		fmt.Fprintln(os.Stderr, f)
//	}
package config
