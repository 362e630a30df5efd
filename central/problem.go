package central

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"postern/wire"
)

// Problem is a request that can't be done, in the words of the HTTP API. Its
// texts never hold a code or a PIN.
type Problem struct {
	Status  int    `json:"-"` // HTTP status, 400 to 499
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // dotted path of the member, such as key.identification
}

// Error gives code, field and message.
func (p *Problem) Error() string {
	if p.Field == "" {
		return p.Code + ": " + p.Message
	}
	return p.Code + ": " + p.Field + ": " + p.Message
}

func problem(status int, code, field, format string, args ...any) *Problem {
	return &Problem{Status: status, Code: code, Field: field, Message: fmt.Sprintf(format, args...)}
}

func badRequest(code, field, format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, code, field, format, args...)
}

func forbidden(field, format string, args ...any) *Problem {
	return problem(http.StatusForbidden, "Forbidden", field, format, args...)
}

func notFound(field, what string) *Problem {
	return problem(http.StatusNotFound, "NotFound", field, "there is no such %s", what)
}

// within puts the member that a Problem is about under another one.
func within(name string, err error) error {
	var p *Problem
	if !errors.As(err, &p) || p.Field == "" {
		return badRequest("InvalidField", name, "%s: has a wrong value", name)
	}
	field := name + "." + p.Field
	return &Problem{Status: p.Status, Code: p.Code, Field: field, Message: strings.Replace(p.Message, p.Field, field, 1)}
}

// decodeProblem is a body that can't be read as what it should be.
func decodeProblem(err error) *Problem {
	var field *wire.FieldError
	switch {
	case !errors.As(err, &field):
		return badRequest("InvalidJSON", "", "the body is not the JSON object that is wanted: %v", err)
	case field.Reason == "unknown member":
		return badRequest("UnknownField", field.Field, "%s is not a member of this request", field.Field)
	case strings.HasPrefix(field.Field, "(") || field.Field == "":
		return badRequest("InvalidField", "", "a member has a wrong value: %s", field.Reason)
	}
	return badRequest("InvalidField", field.Field, "%s: %s", field.Field, field.Reason)
}
