// Package sync is the panel's end of the link to central: it takes changes in
// over MQTT and brings statuses and events out.
//
// The broker is transport and is trusted with nothing. What must survive lies
// in a Replica, the panel's store: a change is acknowledged to the broker after
// the Replica has committed it, and a status or an event is sent again and
// again until central confirms it in a message of its own. That the broker took
// a message proves nothing, so nothing is trimmed for it.
//
// One connection is one session: a clean MQTT session with its own number
// (conn_seq), its own last will and a client that is thrown away when the link
// is lost. A session announces the panel (state, panel, reported), waits for
// its own state to come back, which shows that the way through the broker is
// open in both directions, and then works in one goroutine: messages come in
// through a bounded queue, deadlines are kept in plain fields, and all that
// goes out goes out from there. A link that stays silent is found by MQTT's
// keepalive, and Run connects again, for ever.
//
// What takes long, commits, snapshots, a policy, goes beside that loop in lanes,
// each of which keeps its order; changes that continue each other are committed
// at once, and what comes before its turn waits for it. A snapshot is fetched with
// a bounded number of chunks on their way, goes on over connections, and is
// installed while everything else goes on. What central has to sign is verified
// before anything of it is read.
//
// Why not the MQTT library's own reconnection: it sends the messages of the
// lost connection again beside those of the new one, clean session or not, so
// that an old retained state or report could come last and stay; and it sleeps
// between attempts where nothing can wake it.
//
//	c, err := sync.New(sync.Options{SystemID: "gate-1", Broker: "ssl://mqtt.example:8883", …})
//	…
//	err = c.Run(ctx) // until ctx is done; the broker need not be up
package sync
