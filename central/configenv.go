package central

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// envPrefix begins the variables that override the configuration file.
const envPrefix = "POSTERN_CENTRAL_"

// setting is a member of a Config that a variable of the environment overrides.
type setting struct {
	variable string // POSTERN_CENTRAL_MQTT_BROKER for mqtt.broker
	value    reflect.Value
}

func (c *Config) settings() []setting {
	var out []setting
	var gather func(prefix string, v reflect.Value)
	gather = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name := prefix + strings.ToUpper(v.Type().Field(i).Tag.Get("toml"))
			if v.Field(i).Kind() == reflect.Struct {
				gather(name+"_", v.Field(i))
				continue
			}
			out = append(out, setting{name, v.Field(i)})
		}
	}
	gather(envPrefix, reflect.ValueOf(c).Elem())
	return out
}

// EnvironmentVariables are the variables that override members of the
// configuration file, in the order of Config.
func EnvironmentVariables() []string {
	var names []string
	for _, s := range new(Config).settings() {
		names = append(names, s.variable)
	}
	return names
}

// Override puts the variables of an environment (as os.Environ gives it) that
// begin with POSTERN_CENTRAL_ over the configuration. One that is not known is
// more likely a slip than something to ignore, and an error; all are given at
// once, without values.
func (c *Config) Override(environ []string) error {
	settings := c.settings()
	var faults []error
	for _, text := range environ {
		name, value, _ := strings.Cut(text, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.variable == name })
		if i < 0 {
			faults = append(faults, fmt.Errorf("environment: %.64s is not known (one of %s)", name, strings.Join(EnvironmentVariables(), ", ")))
			continue
		}
		v := settings[i].value
		if v.Kind() == reflect.String {
			v.SetString(value)
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			faults = append(faults, fmt.Errorf("environment: %s: want a number", name))
			continue
		}
		v.SetInt(int64(n))
	}
	return errors.Join(faults...)
}
