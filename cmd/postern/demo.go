package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"postern/api"
)

// demoOptions are the demo's flags.
type demoOptions struct {
	central, panel, mqtt string // host:port
	dir                  string // "" is a temporary one
}

// demoReady is how long the demo may take until all of it is ready.
const demoReady = 60 * time.Second

func newDemo(o *options) *cobra.Command {
	var d demoOptions
	cmd := &cobra.Command{
		Use: "demo", Short: "A whole site on this machine: central, broker and a simulated panel", Args: noArgs,
		Long: "demo starts postern-central with its broker, and posternd with simulated readers and doors, from the folder\n" +
			"that postern itself is in. Ctrl-C stops all of it and removes what it made.\n\n" +
			"A folder named by --dir keeps its data if it was there before, and can be used again; one that demo made goes\n" +
			"when it stops. When something fails, the folder stays, with the logs in it.",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.demo(cmd.Context(), d) },
	}
	f := cmd.Flags()
	f.StringVar(&d.central, "central-addr", "127.0.0.1:8480", "central's HTTP API, `host:port` on loopback; port 0 takes a free one")
	f.StringVar(&d.panel, "panel-addr", "127.0.0.1:8481", "the panel's page, `host:port` on loopback")
	f.StringVar(&d.mqtt, "mqtt-addr", "127.0.0.1:8483", "the broker, `host:port` on loopback")
	f.StringVar(&d.dir, "dir", "", "`folder` for data and logs (default a temporary one)")
	return cmd
}

func (o *options) demo(ctx context.Context, d demoOptions) (err error) {
	if err := d.takePorts(); err != nil {
		return err
	}
	bin, err := siblings()
	if err != nil {
		return err
	}
	dir, err := openDemoDir(d.dir)
	if err != nil {
		return err
	}
	s := newSite(bin, dir.path, d)
	defer func() {
		stopped := s.stop()
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w (logs are in %s)", err, dir.path)
			return
		}
		err = errors.Join(stopped, dir.remove())
	}()
	ready, cancel := context.WithTimeoutCause(ctx, demoReady, fmt.Errorf("the demo was not ready after %s", demoReady))
	defer cancel()
	if err := s.start(ready); err != nil {
		return err
	}
	if err := o.printSite(s, dir.made); err != nil {
		return err
	}
	return s.wait(ctx)
}

// programs are the paths of the programs that make a site.
type programs struct{ postern, posternd, central string }

// siblings finds them in the folder that this program is in: those of one build
// fit each other.
func siblings() (programs, error) {
	self, err := os.Executable()
	if err != nil {
		return programs{}, fmt.Errorf("find this program's folder: %w", err)
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	dir := filepath.Dir(self)
	p := programs{postern: self, posternd: filepath.Join(dir, "posternd"), central: filepath.Join(dir, "postern-central")}
	for _, path := range []string{p.posternd, p.central} {
		if info, err := os.Stat(path); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			return p, fmt.Errorf("%s is not in %s: build postern, posternd and postern-central into one folder", filepath.Base(path), dir)
		}
	}
	return p, nil
}

// takePorts checks the addresses, and makes numbers of the ports that are 0.
// All are held together, so that two flags can't name one port.
func (d *demoOptions) takePorts() error {
	for _, a := range []struct {
		flag string
		addr *string
	}{{"--central-addr", &d.central}, {"--panel-addr", &d.panel}, {"--mqtt-addr", &d.mqtt}} {
		host, _, err := net.SplitHostPort(*a.addr)
		if err != nil {
			return usagef("%s: %q is not host:port (such as 127.0.0.1:8480)", a.flag, *a.addr)
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return usagef("%s: %s is not a loopback address: the demo has no passwords, so it stays on 127.0.0.1", a.flag, host)
		}
		ln, err := net.Listen("tcp", *a.addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("%s is in use: name another with %s", *a.addr, a.flag)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", a.flag, err)
		}
		defer ln.Close()
		*a.addr = ln.Addr().String()
	}
	return nil
}

// demoDir is the folder of a site.
type demoDir struct {
	path string
	made bool // by this demo, which removes it
}

func openDemoDir(flag string) (demoDir, error) {
	var d demoDir
	var err error
	if flag == "" {
		d.path, err = os.MkdirTemp("", "postern-demo-")
		d.made = err == nil
	} else if d.path, err = filepath.Abs(flag); err == nil {
		if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
			d.made = true
		}
		err = os.MkdirAll(d.path, 0o700)
	}
	if err != nil {
		return d, fmt.Errorf("make the demo's folder: %w", err)
	}
	if err := api.CheckSocketPath(filepath.Join(d.path, socketName)); err != nil {
		return d, errors.Join(usagef("%w; name one with --dir", err), d.remove())
	}
	if c, err := net.Dial("unix", filepath.Join(d.path, socketName)); err == nil {
		_ = c.Close()
		return d, fmt.Errorf("a demo runs in %s already: stop it, or name another --dir", d.path)
	}
	return d, nil
}

func (d demoDir) remove() error {
	if !d.made {
		return nil
	}
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("remove the demo's folder: %w", err)
	}
	return nil
}

// siteInfo is where a running site is, as --json gives it.
type siteInfo struct {
	Central  string      `json:"central"`
	Panel    string      `json:"panel"`
	MQTT     string      `json:"mqtt"`
	APIKey   string      `json:"api_key"`
	Socket   string      `json:"socket"`
	SystemID string      `json:"system_id"`
	Levels   []siteLevel `json:"access_levels"`
	Readers  []string    `json:"readers"`
	Dir      string      `json:"dir"`
}

type siteLevel struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (o *options) printSite(s *site, removed bool) error {
	info := s.info()
	if o.json {
		return o.printJSON(info)
	}
	end := "Ctrl-C stops all of it, and leaves the data in " + info.Dir + "."
	if removed {
		end = "Ctrl-C stops all of it, and removes " + info.Dir + "."
	}
	_, err := io.WriteString(printable{o.out}, "The demo is running.\n\n"+
		"  panel    "+info.Panel+"/   badge, type a PIN, watch the doors and the journal\n"+
		"  central  "+info.Central+"    API key "+info.APIKey+"\n"+
		"  broker   "+info.MQTT+"\n"+
		"  socket   "+info.Socket+"\n"+
		"  files    "+info.Dir+"\n\n"+
		"Try these in another terminal: give a card a key, present it, and read the events.\n\n"+
		s.addCommand()+"\n"+s.badgeCommand()+"\n"+s.eventsCommand()+"\n"+end+"\n")
	return err
}
