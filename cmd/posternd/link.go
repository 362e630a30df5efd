package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"postern/config"
	psync "postern/sync"
	"postern/wire"
)

// linkOptions are the options that the configuration gives the link. The
// broker's certificate is checked at the time that now gives.
func linkOptions(cfg *config.Config, now func() time.Time, log *slog.Logger) (psync.Options, error) {
	o := psync.Options{
		SystemID: cfg.Panel.SystemID, Broker: cfg.MQTT.Broker, ClientID: cfg.MQTT.ClientID, Username: cfg.MQTT.Username,
		Trust: cfg.TrustedKeys(),
	}
	if o.Username != "" {
		var err error
		if o.Password, err = wire.ReadPassword(cfg.MQTT.PasswordFile); err != nil {
			return o, fmt.Errorf("read mqtt.password_file: %w", err)
		}
	}
	if len(o.Trust) == 0 {
		log.Warn("changes are taken unsigned: whoever controls the broker can open doors", "remedy", "trust.keys in panel.toml")
	}
	if !strings.HasPrefix(o.Broker, "ssl://") {
		return o, nil
	}
	files := wire.Files{CA: cfg.MQTT.CAFile, Cert: cfg.MQTT.CertFile, Key: cfg.MQTT.KeyFile}
	t, err := wire.NewTLS(files.WithCredentials(), now)
	if err != nil {
		return o, fmt.Errorf("mqtt.ca_file, cert_file and key_file: %w", err)
	}
	o.TLS = t.ForConnect(log)
	return o, nil
}
