package scenarios

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"postern/access"
	"postern/controller"
)

// pass lets time pass, and stops at each instant at which a door's mode changes.
func (w *world) pass(length time.Duration) {
	to := now().Add(length)
	for {
		next, some := w.boundary(to)
		if !some {
			break
		}
		time.Sleep(w.past(next.Add(late)).Sub(now()))
		w.settle()
	}
	time.Sleep(to.Sub(now()))
	w.settle()
}

// rest lets time go by in one piece.
func (w *world) rest(length time.Duration) {
	time.Sleep(w.past(now().Add(length)).Sub(now()))
}

// past is an instant, or a little later where a door may just be coming into a
// mode then.
func (w *world) past(to time.Time) time.Time {
	was := w.now
	defer func() { w.now = was }()
	for next, some := w.boundary(to); some; next, some = w.boundary(to) {
		w.now = next
		if soon := next.Add(late); to.Before(soon) {
			to = soon
		}
	}
	return to
}

// scenario is a draw of circumstances, and then some twenty things that happen.
func (w *world) scenario() {
	w.trail = append(w.trail[:0], w.trail[max(0, len(w.trail)-60):]...)
	w.did("scenario")
	switch {
	case chance(w.rand, 12):
		w.restart()
	case chance(w.rand, 75):
		w.change()
	}
	w.calm()
	for range one(w.rand, 1, 2, 3, 5) {
		w.put(w.rand.IntN(people))
	}
	for range 10 + w.rand.IntN(20) {
		w.pass(w.length())
		w.step()
	}
	w.pass(w.length())
	w.audit()
}

// length is how long until the next thing: mostly around what the rules count in.
func (w *world) length() time.Duration {
	switch n := w.rand.IntN(1000); {
	case n < 550:
		return time.Duration(w.rand.IntN(3000)) * time.Millisecond
	case n < 800:
		base := one(w.rand, 500*time.Millisecond, 2*time.Second, 3*time.Second, 5*time.Second, 8*time.Second, 10*time.Second, 20*time.Second, 30*time.Second, time.Minute, 2*time.Minute)
		return base + one(w.rand, -time.Millisecond, -1, 0, 1, time.Millisecond)
	case n < 980:
		return time.Duration(w.rand.IntN(40_000)) * time.Millisecond
	case n < 998:
		return time.Duration(w.rand.IntN(600)) * time.Second
	}
	return time.Duration(w.rand.IntN(240)) * time.Minute
}

// reading is how long a simulated board takes to see an edge or a frame.
const reading = 120 * time.Millisecond

// seen waits until what was done at a device has been seen.
func (w *world) seen() {
	if w.simulated {
		w.pass(reading)
		return
	}
	w.settle()
}

func (w *world) step() {
	switch n := w.rand.IntN(100); {
	case n < 30:
		w.show(w.rand.IntN(readers))
	case n < 44:
		w.showAndType()
	case n < 50:
		r := one(w.rand, 0, 1, 3)
		w.types(r, one(w.rand, codes...)+one(w.rand, "", "", "#"))
	case n < 52:
		w.types(one(w.rand, 0, 1, 3), one(w.rand, "1", "12*", "#", "##", "111", "1*2222", "22#", "99999", "0000000#"))
	case n < 62:
		w.swing(w.rand.IntN(doors))
	case n < 68:
		w.walk()
	case n < 73:
		w.press(w.rand.IntN(doors))
	case n < 76:
		w.flip("fire", w.rand.IntN(2), &w.fires)
	case n < 79:
		w.flipDown()
	case n < 80 && chance(w.rand, 50):
		w.spoil(w.rand.IntN(doors))
	case n < 80:
		w.did("aux %v", !w.aux)
		w.dev.drive("aux0", 0, !w.aux)
		w.seen()
	case n < 84:
		w.order()
	case n < 88:
		w.put(w.rand.IntN(people))
	case n < 90:
		w.change()
	case n < 93:
		w.setClock()
	case n < 95:
		w.heard = now().Add(-one(w.rand, 0, 0, 14*time.Minute, 15*time.Minute-5*time.Second))
		w.did("central last heard of at %s", w.heard)
		w.poke()
	case n < 97:
		w.unlock(w.rand.IntN(doors))
	case n < 98:
		w.forgive()
	default:
		w.cut()
	}
}

// pick draws a card that a reader can read.
func (w *world) pick(r int) card {
	if r == 2 {
		return card{num: one(w.rand, numbers...)}
	}
	return card{em: one(w.rand, ems...)}
}

func (w *world) show(r int) card {
	c := w.pick(r)
	w.did("card %v at %d", c, r)
	if chance(w.rand, 10) {
		w.explain(r, c)
	}
	w.dev.present(r, c.bits(r))
	w.seen()
	return c
}

// explain asks what would come of a card; it changes nothing.
func (w *world) explain(r int, c card) {
	id, err := access.ParseIdentification(access.Proximity, c.identification())
	must(w.t, err)
	if w.site.points[r].gone || r == 2 {
		return // a number alone is read in two ways at reader 2
	}
	d, trace, err := w.ctl.Explain(controller.Hypothesis{Reader: readerID(r), Identification: id})
	must(w.t, err)
	a := w.decide(r, shown{card: c}, none)
	if d.Type != a.typ || d.Reason != a.reason || d.WantPIN != a.ask || len(trace.Steps) == 0 {
		w.failed("it explains %v %q, and has to be %v %q", d.Type, d.Reason, a.typ, a.reason)
	}
}

// showAndType is a card and a PIN, which is right, of somebody under duress, of
// somebody else, or wrong.
func (w *world) showAndType() {
	r := one(w.rand, 0, 1, 3)
	c := w.show(r)
	if chance(w.rand, 20) {
		w.pass(one(w.rand, 0, time.Second, 19*time.Second, 20*time.Second-1, 20*time.Second))
	}
	pin := one(w.rand, "0000", "1234", "1236", "9991")
	if found := w.found(r, shown{card: c}); len(found) == 1 && found[0].pin != "" {
		right := found[0].pin
		pin = one(w.rand, right, right, right, right[:3]+string('0'+(right[3]-'0'+1)%10), pin)
	}
	if chance(w.rand, 15) {
		w.arm()
		w.types(r, pin)
		w.effect()
		return
	}
	w.types(r, pin)
}

// types presses keys one after the other. When the power may be cut, it waits for
// the last of them alone.
func (w *world) types(r int, keys string) {
	w.did("keys %s at %d", keys, r)
	for i := range len(keys) {
		b, err := keypads[r].Encode(keys[i])
		must(w.t, err)
		w.dev.present(r, b)
		if w.armed() {
			w.rest(w.settling())
			continue
		}
		w.seen()
		if chance(w.rand, 30) && i+1 < len(keys) {
			w.pass(one(w.rand, 100*time.Millisecond, time.Second, 5*time.Second-1))
		}
	}
}

func (w *world) settling() time.Duration {
	if w.simulated {
		return reading
	}
	return 50 * time.Millisecond
}

func (w *world) swing(d int) {
	if !w.fit[d].contact {
		w.swung[d] = false
		return
	}
	w.swung[d] = !w.swung[d]
	w.did("door %d open: %v", d, w.swung[d])
	w.dev.drive("contact"+doorID(d), d, w.swung[d])
	w.seen()
}

// spoil has a door's contact be unreadable for a while; somebody may use it.
func (w *world) spoil(d int) {
	if !w.fit[d].contact || w.simulated {
		return
	}
	if chance(w.rand, 50) {
		w.show(d)
	}
	seconds := 1 + w.rand.IntN(8)
	w.swung[d] = chance(w.rand, 30)
	w.did("contact %d unreadable for %d s, then open: %v", d, seconds, w.swung[d])
	w.dev.spoil("contact"+doorID(d), seconds, w.swung[d])
	w.seen()
	if chance(w.rand, 60) {
		w.show(d)
	}
}

// walk is somebody who badges, and goes through.
func (w *world) walk() {
	r := w.rand.IntN(readers)
	d := doorOf[r]
	w.show(r)
	if w.swung[d] || !w.fit[d].contact || !w.doors[d].released() {
		return
	}
	w.pass(time.Duration(w.rand.IntN(2500)) * time.Millisecond)
	w.swing(d)
	w.pass(time.Duration(w.rand.IntN(4000)) * time.Millisecond)
	w.swing(d)
}

func (w *world) press(d int) {
	w.pressed[d] = !w.pressed[d]
	w.did("exit button %d: %v", d, w.pressed[d])
	w.dev.drive("rex"+doorID(d), d, w.pressed[d])
	w.seen()
	if w.pressed[d] && chance(w.rand, 80) {
		w.pass(500 * time.Millisecond)
		w.pressed[d] = false
		w.dev.drive("rex"+doorID(d), d, false)
		w.seen()
	}
}

func (w *world) flip(kind string, n int, levels *[2]bool) {
	on := !levels[n] && chance(w.rand, 60)
	w.did("%s %d: %v", kind, n, on)
	if on != levels[n] {
		w.dev.drive(fmt.Sprint(kind, n), n, on)
	}
	w.seen()
}

func (w *world) flipDown() {
	on := !w.down && chance(w.rand, 30)
	w.did("lockdown input: %v", on)
	if on != w.down {
		w.dev.drive("lockdown0", 0, on)
	}
	w.seen()
}

// order puts other orders in the place of those before, of central or of operators
// at the panel.
func (w *world) order() {
	if chance(w.rand, 35) {
		w.local = nil
		for d := range doors {
			if chance(w.rand, 30) {
				w.local = append(w.local, w.drawOrder(doorID(d)))
			}
		}
	} else {
		w.orders = nil
		for range one(w.rand, 0, 0, 0, 1, 1, 2) {
			w.orders = append(w.orders, w.drawOrder(one(w.rand, access.AllDoors, doorID(w.rand.IntN(doors)))))
		}
	}
	w.setOrders()
	w.settle()
}

func (w *world) drawOrder(door string) access.DoorOrder {
	o := access.DoorOrder{Door: door, Mode: one(w.rand, access.Locked, access.Unlocked, access.Blocked, access.LockedDown, access.LockedOpen)}
	if chance(w.rand, 75) {
		o.Until = w.wall().Add(one(w.rand, time.Second, 10*time.Second, time.Minute, 10*time.Minute))
	}
	return o
}

func (w *world) setOrders() {
	w.did("orders %v, at the panel %v", w.orders, w.local)
	w.ctl.SetOrders(w.orders, w.local...)
}

// poke has the panel look at what the doors have to be, as a clock that was set
// does in its time.
func (w *world) poke() {
	w.publish()
	if chance(w.rand, 50) {
		w.setOrders()
		w.settle()
		return
	}
	w.lag = now().Add(veryLate)
	w.settle()
	if chance(w.rand, 60) {
		w.show(w.rand.IntN(readers))
	}
	w.pass(w.lag.Sub(now()))
}

// put is central changing a key.
func (w *world) put(n int) {
	k := newKey(w.rand, n, w.wall())
	w.revision++
	k.revision = w.revision
	op := access.Put
	was := w.keys[k.id]
	if was != nil && chance(w.rand, 20) {
		op = access.Remove
		delete(w.keys, k.id)
	} else {
		k.claim = w.claims + 1
		if was != nil && was.card == k.card && was.code == k.code && was.fault == k.fault {
			k.claim = was.claim
		} else {
			w.claims++
		}
		w.keys[k.id] = k
	}
	w.did("revision %d: remove %v, %+v", w.revision, op == access.Remove, *k)
	w.stats.Updates++
	pos, err := w.store.Apply(context.Background(), access.Batch{Epoch: 1, Updates: []access.Update{k.update(op)}})
	if err != nil || pos.Revision != w.revision || pos.Count != uint64(len(w.keys)) {
		w.flawed(lostUpdate, "update: %v, %+v", err, pos)
	}
	w.settle()
}

// change puts another policy in force, as a panel does.
func (w *world) change() {
	s := newSite(w.rand, w.wall())
	w.policy = s.policy()
	w.did("policy")
	_, err := w.store.SetPolicy(context.Background(), w.policy, matchers)
	must(w.t, err)
	w.setPolicy(s)
	w.ctl.SetPolicy(w.policy)
	w.settle()
}

// setClock has the clock jump, lost, or found again.
func (w *world) setClock() {
	c := &w.model.clock
	switch w.rand.IntN(4) {
	case 0:
		c.off += one(w.rand, time.Second, -time.Second, time.Minute, -time.Minute, time.Hour, -time.Hour, 25*time.Hour, -25*time.Hour, 12*365*24*time.Hour, -12*365*24*time.Hour)
	case 1:
		c.state, c.lastGood = access.ClockUntrusted, w.wall().Add(-one(w.rand, 0, time.Minute, time.Hour, 24*time.Hour)).Truncate(time.Second)
		if chance(w.rand, 15) {
			c.lastGood = time.Time{}
		}
	case 2:
		c.state = access.ClockHoldover
	default:
		c.state = access.ClockTrusted
	}
	w.publish()
	w.did("clock %s %s, last good %s", c.state, w.wall().Format(time.DateTime), c.lastGood.Format(time.DateTime))
	if c.believed() && chance(w.rand, 50) {
		must(w.t, w.store.SetLastGood(context.Background(), w.wall()))
		if got := w.store.LastGood(); !got.Equal(w.wall()) {
			w.failed("the last good time is %s", got)
		}
	}
	w.poke()
}

// unlock is an operator.
func (w *world) unlock(d int) {
	refused := suspends(w.doors[d].mode) || w.barred(d)
	w.did("operator unlocks %d, refused %v", d, refused)
	err := w.ctl.Unlock(context.Background(), doorID(d))
	if errors.Is(err, controller.ErrRefused) != refused || err != nil && !refused {
		w.failed("unlock: %v", err)
	}
	if !refused {
		w.expect(event{at: w.now, typ: access.Granted, reason: access.ReasonOperator, door: doorID(d)})
		w.doors[d].let(false)
	}
	w.settle()
}

// forgive has anti-passback forget somebody, or everybody.
func (w *world) forgive() {
	who := one(w.rand, access.ID{}, access.ID{0xBB, 1}, access.ID{0xBB, 2})
	n := len(w.places)
	if !who.IsZero() {
		n = 0
		if _, ok := w.places[who]; ok {
			n = 1
		}
	}
	w.did("forgive %x", who[:2])
	got, err := w.ctl.Forgive(context.Background(), who)
	if err != nil || got != n {
		w.failed("forgave %d, %v, and had to %d", got, err, n)
	}
	if who.IsZero() {
		clear(w.places)
	}
	delete(w.places, who)
	w.expect(event{at: w.now, typ: access.PassbackForgiven, reason: access.ReasonOperator, person: who})
	w.settle()
}

// restart ends the panel and starts it, in order or by a power cut while it rests.
func (w *world) restart() {
	w.stats.Restarts++
	left := ""
	if chance(w.rand, 50) {
		left = w.image()
	}
	w.halt(left)
	w.up()
}

// halt stops the panel; left is its card as a power cut left it, "" to keep it.
func (w *world) halt(left string) {
	w.did("stopped; power cut %v", left != "")
	at := now()
	w.stop()
	for d := range w.doors {
		if w.doors[d].wasReleased {
			w.locks = append(w.locks, change{at, d, false})
		}
	}
	if _, locks, _ := w.taps.take(); !w.blind {
		w.checkLocks(locks)
	}
	w.locks, w.events, w.blind = nil, nil, false
	if left != "" {
		must(w.t, os.RemoveAll(w.dir))
		must(w.t, os.Rename(left, w.dir))
	}
}

// up starts the panel anew, a while later.
func (w *world) up() {
	time.Sleep(time.Duration(w.rand.IntN(5000)) * time.Millisecond)
	for d := range w.pressed {
		w.pressed[d] = w.pressed[d] && chance(w.rand, 50)
	}
	w.start()
}

// image copies the card; nothing is being written.
func (w *world) image() string {
	to, err := os.MkdirTemp(filepath.Dir(w.dir), "image-")
	must(w.t, err)
	list, err := os.ReadDir(w.dir)
	must(w.t, err)
	for _, f := range list {
		data, err := os.ReadFile(filepath.Join(w.dir, f.Name()))
		must(w.t, err)
		must(w.t, os.WriteFile(filepath.Join(to, f.Name()), data, 0o600))
	}
	return to
}

// arm has the power cut at a commit that is near.
func (w *world) arm() { w.store.arm(1+w.rand.IntN(4), chance(w.rand, 50)) }

func (w *world) armed() bool {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	return w.store.left > 0 || w.store.image != ""
}

// cut is a power cut at a commit while something happens.
func (w *world) cut() {
	w.arm()
	r := w.rand.IntN(readers)
	c := w.pick(r)
	w.did("power cut soon: card %v at %d", c, r)
	w.dev.present(r, c.bits(r))
	w.rest(w.settling())
	if d := doorOf[r]; w.fit[d].contact && !w.swung[d] && chance(w.rand, 50) {
		w.swung[d] = true
		w.did("door %d open: true", d)
		w.dev.drive("contact"+doorID(d), d, true)
		w.rest(w.settling())
	}
	w.effect()
}

// calm ends most of what would have every card refused.
func (w *world) calm() {
	if w.down && chance(w.rand, 90) {
		w.did("lockdown input: false")
		w.dev.drive("lockdown0", 0, false)
		w.seen()
	}
	if len(w.orders)+len(w.local) > 0 && chance(w.rand, 75) {
		w.orders, w.local = nil, nil
		w.setOrders()
		w.settle()
	}
	if chance(w.rand, 60) && w.clock.state != access.ClockTrusted {
		w.did("clock trusted")
		w.clock.state = access.ClockTrusted
		w.poke()
	}
}
