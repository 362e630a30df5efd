// Package site runs a whole site as real processes: Mosquitto, postern-central,
// and posternd on a simulated board, each in its own process that can be killed
// and started again at any moment.
//
// It is for programs that test or measure the whole, not for the products:
//
//	s, err := site.New(ctx, site.Options{Dir: dir, Doors: 8})
//	defer s.Close()
//	err = s.Start(ctx)
//	id, err := s.Central.Add(ctx, token, site.Key{…})
//	s.Panel.Kill(nil) // it is started again at once
//
// Everything listens on loopback alone, and all that it makes is in Dir. What
// central sends is signed, as on a site that is set up as it should be.
package site
