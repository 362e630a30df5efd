package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"postern/config"
	psync "postern/sync"
)

// maxSecretFile bounds password, certificate and key files.
const maxSecretFile = 64 << 10

// linkOptions are the options that the configuration gives the link.
func linkOptions(cfg *config.Config) (psync.Options, error) {
	o := psync.Options{
		SystemID: cfg.Panel.SystemID, Broker: cfg.MQTT.Broker, ClientID: cfg.MQTT.ClientID, Username: cfg.MQTT.Username,
	}
	if f := cfg.MQTT.PasswordFile; f != "" {
		b, err := readBounded(f)
		if err != nil {
			return o, fmt.Errorf("read mqtt.password_file: %w", err)
		}
		o.Password = strings.TrimRight(string(b), "\r\n")
	}
	if !strings.HasPrefix(cfg.MQTT.Broker, "ssl://") {
		return o, nil
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if f := cfg.MQTT.CAFile; f != "" {
		b, err := readBounded(f)
		if err != nil {
			return o, fmt.Errorf("read mqtt.ca_file: %w", err)
		}
		o.TLS.RootCAs = x509.NewCertPool()
		if !o.TLS.RootCAs.AppendCertsFromPEM(b) {
			return o, fmt.Errorf("mqtt.ca_file %s holds no PEM certificate", f)
		}
	}
	if cfg.MQTT.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(cfg.MQTT.CertFile, cfg.MQTT.KeyFile)
		if err != nil {
			return o, fmt.Errorf("load mqtt.cert_file and mqtt.key_file: %w", err)
		}
		o.TLS.Certificates = []tls.Certificate{cert}
	}
	return o, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxSecretFile {
		return nil, errors.New(path + " is too large")
	}
	return b, nil
}
