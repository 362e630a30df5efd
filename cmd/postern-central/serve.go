package main

import (
	"fmt"
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"postern/central"
)

func newServe(o *options) *cobra.Command {
	var listen, broker, embedded string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server until it is told to stop",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.load()
			if err != nil {
				return err
			}
			set(&c.Listen, listen)
			set(&c.MQTT.Broker, broker)
			set(&c.Broker.Listen, embedded)
			if err := c.Validate(); err != nil {
				return usageError{err}
			}
			level, err := c.Level()
			if err != nil {
				return usageError{err}
			}
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			err = central.Serve(cmd.Context(), c, log, func(central.Addresses) { notify(log, daemon.SdNotifyReady) })
			notify(log, daemon.SdNotifyStopping)
			if err != nil {
				return fmt.Errorf("serve: %w", err)
			}
			log.Info("stopped")
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "", "`host:port` of the HTTP API, over the configuration's")
	f.StringVar(&broker, "mqtt-broker", "", "`URL` of the MQTT broker, over the configuration's")
	f.StringVar(&embedded, "broker-listen", "", "`host:port` of the embedded broker, over the configuration's")
	return cmd
}

// notify tells systemd, if it is there.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "error", err)
	}
}
