package central

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
)

// CheckFiles reads every file that the configuration names, as Serve would, and
// lists what is wrong with them. It opens no database, makes nothing and reaches
// for no network. A secret key file may be missing: Serve makes it.
func (c Config) CheckFiles() error {
	var faults []error
	quiet := slog.New(slog.DiscardHandler)
	if _, err := c.MQTT.link(quiet); err != nil {
		faults = append(faults, err)
	}
	if c.SecretKeyFile != "" {
		if _, err := readSecret(c.SecretKeyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			faults = append(faults, fmt.Errorf("secret_key_file: %w", err))
		}
	}
	if c.SigningKeyFile != "" {
		if _, err := NewSigner(c.SigningKeyFile, nil); err != nil {
			faults = append(faults, fmt.Errorf("signing_key_file: %w", err))
		}
	}
	if c.Broker.PasswordFile != "" {
		if _, err := readPasswords(c.Broker.PasswordFile); err != nil {
			faults = append(faults, fmt.Errorf("broker.password_file: %w", err))
		}
	}
	return errors.Join(faults...)
}
