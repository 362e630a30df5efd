package wire

import "fmt"

// PolicyStatus is what became of the newest policy that a panel was sent. A
// policy with faults changes nothing.
type PolicyStatus struct {
	Version
	Applied bool          `json:"applied"`
	Faults  []PolicyFault `json:"faults,omitempty"` // at most MaxFaults
}

// PolicyFault is one thing that is wrong with a policy.
type PolicyFault struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// MaxFaults bounds the faults in one PolicyStatus.
const MaxFaults = 100

func (s *PolicyStatus) check() error {
	if len(s.Faults) > MaxFaults {
		return &FieldError{"faults", fmt.Sprintf("are more than %d", MaxFaults)}
	}
	if s.Applied && len(s.Faults) > 0 {
		return &FieldError{"applied", "is true, and there are faults"}
	}
	for i, f := range s.Faults {
		if len(f.Path) > 256 || len(f.Message) > 512 {
			return &FieldError{fmt.Sprintf("faults[%d]", i), "is too long"}
		}
	}
	return nil
}
