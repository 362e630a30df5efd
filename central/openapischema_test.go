package central

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/access"
	"postern/wire"
)

// schemaType is the Go type of a schema. Without are members that this schema of
// the type has not.
type schemaType struct {
	of      reflect.Type
	request bool
	without []string
}

func request[T any](without ...string) schemaType {
	return schemaType{reflect.TypeFor[T](), true, without}
}

func answered[T any](without ...string) schemaType {
	return schemaType{reflect.TypeFor[T](), false, without}
}

// schemaTypes are the types of the schemas of objects, but for those that the
// code makes of maps: what goes through the HTTP tests shows those.
func schemaTypes() map[string]schemaType {
	return map[string]schemaType{
		"Nothing": request[struct{}](), "KeySpec": request[keySpec](), "PersonSpec": request[personSpec](), "AccessKeyAdd": request[addRequest](),
		"AccessKeyRemove": request[removeRequest](), "AccessKeyStatusRequest": request[statusRequest](), "EventsRequest": request[eventsRequest](),
		"AccessRequestCreate": request[createBody](), "Vote": request[voteBody](), "Revocation": request[revokeBody](),
		"UserAdd": request[userRequest](), "UserChange": request[userRequest]("name", "domain"), "TokenCreate": request[tokenRequest](),
		"LevelRuleSet": request[approversRequest](), "ExclusionAdd": request[exclusionRequest](),
		"ModeSet": request[modeRequest]("systems"), "SiteModeSet": request[modeRequest](),
		"Policy": request[wire.Policy](), "PolicyCodes": request[wire.Codes](), "PolicyRules": request[wire.PolicyRules](),
		"PolicyLockout": request[wire.PolicyLockout](), "PolicyHoliday": request[wire.PolicyHoliday](), "PolicySched": request[wire.PolicySched](),
		"PolicyInterval": request[wire.PolicyInterval](), "PolicyHolidayRule": request[wire.PolicyHolidayRule](),
		"PolicySpecialDay": request[wire.PolicySpecialDay](), "PolicyArea": request[wire.PolicyArea](), "PolicyLevel": request[wire.PolicyLevel](),
		"PolicyGrant": request[wire.PolicyGrant](), "PolicyPoint": request[wire.PolicyPoint](), "PolicyMode": request[wire.PolicyMode](),
		"PolicyDoor": request[wire.PolicyDoor](), "PolicyTimes": request[wire.PolicyTimes](), "PolicyLock": request[wire.PolicyLock](),

		"KeyRef": answered[keyRef](), "Person": answered[personRef](), "AccessKey": answered[addAnswer](), "AccessKeyStatus": answered[statusAnswer](),
		"AppliedSystem": answered[appliedSystem](), "PendingSystem": answered[pendingSystem](), "FailedSystem": answered[failedSystem](),
		"AccessLevel": answered[levelAnswer](), "Events": answered[eventsAnswer](), "Event": answered[eventAnswer](), "EventKey": answered[eventKeyRef](),
		"Problem": answered[Problem](), "AccessRequest": answered[requestModel](), "Listener": answered[listenerModel](), "RequestVote": answered[voteModel](),
		"Attribute": answered[attribute](), "RequestedItemStatus": answered[requestedItemStatus](), "NamedRef": answered[dtoRef](),
		"LocalizedText": answered[localizedText](), "CancelledDetails": answered[cancelledDetails](), "ApprovalDetails": answered[approvalDetails](),
		"CommentDetails": answered[commentDetails](), "Phase": answered[phase](), "ViolationContext": answered[sodViolationContext](),
		"ViolationCheckResult": answered[sodCheckResult](), "Violation": answered[sodContext](), "ConflictingCriteria": answered[sodCriteria](),
		"CriteriaSide": answered[sodSide](), "Criterion": answered[sodCriterion](), "StatusError": answered[trackedError](),
		"User": answered[User](), "UserCode": answered[codeAnswer](), "Token": answered[Token]("token"), "NewToken": answered[Token]("revoked_at"),
		"LevelRule": answered[LevelRule](), "Exclusion": answered[Exclusion](), "Version": answered[wire.Version](), "Panel": answered[PanelInfo](),
		"PolicyVersion": answered[PolicyVersion](), "PolicyVersions": answered[policyHistoryAnswer](),
		"PolicyInfo": answered[PolicyInfo](), "PolicyStatus": answered[wire.PolicyStatus](), "PolicyFault": answered[wire.PolicyFault](),
		"PolicyCheck": answered[PolicyCheck](), "DoorModes": answered[ModesInfo](), "DoorOrder": answered[wire.DoorOrder](),
		"SiteModes": answered[siteModeAnswer](), "SiteMode": answered[SiteMode](), "CommandOutcome": answered[CommandOutcome](),
		"AuditPage": answered[auditAnswer](), "AuditEntry": answered[AuditEntry](), "Health": answered[healthAnswer](),
	}
}

// ofMaps are the schemas of objects that the code makes of maps.
func ofMaps() []string {
	return []string{"Error", "RequestError", "AccessRequestAnswer", "Attributes"}
}

// The members of each schema are those of its Go type: names, types, which may
// be null, and which may be missing.
func TestOpenAPISchemas(t *testing.T) {
	c := readContract(t)
	schemas := c.doc.object("components").object("schemas")
	s := schemaChecker{t, c, schemaTypes()}
	for name, typ := range s.types {
		if schemas.object(name) == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		s.object(name, schemas.object(name), typ)
	}
	for _, name := range schemas.names() {
		if _, ok := s.types[name]; !ok && slices.Contains(typesOf(schemas.object(name)), "object") && !slices.Contains(ofMaps(), name) {
			t.Errorf("schema %s is of no type", name)
		}
	}
}

type schemaChecker struct {
	t     *testing.T
	c     *contract
	types map[string]schemaType
}

func (s schemaChecker) object(name string, schema node, typ schemaType) {
	s.t.Helper()
	if closed := schema["additionalProperties"] == false; closed != typ.request {
		s.t.Errorf("%s: further members are refused: %v, want %v", name, closed, typ.request)
	}
	left := schema.object("properties").names()
	for _, f := range reflect.VisibleFields(typ.of) {
		member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || !f.IsExported() && member == "" || member == "-" || slices.Contains(typ.without, member) {
			continue
		}
		p := schema.object("properties").object(member)
		if p == nil {
			s.t.Errorf("%s lacks %s", name, member)
			continue
		}
		left = slices.DeleteFunc(left, func(x string) bool { return x == member })
		required := slices.Contains(schema.list("required"), any(member))
		// The code of what reads a request says what it needs.
		if omitted := strings.Contains(options, "omit") && (name != "NewToken" || member != "token"); !typ.request && required == omitted {
			s.t.Errorf("%s.%s: required is %v in the document", name, member, required)
		}
		if name != "Policy" || member != "epoch" && member != "revision" { // which may be anything
			of := f.Type
			if of.Kind() == reflect.Pointer && strings.Contains(options, "omit") {
				of = of.Elem() // nil is left out
			}
			s.member(name+"."+member, p, of, typ.request && required)
		}
	}
	if len(left) > 0 {
		s.t.Errorf("%s has %v, and the code has not", name, left)
	}
}

// kinds are the JSON types that a schema allows, with formats.
func (s schemaChecker) kinds(schema node) (out []string, of node) {
	schema = pageWriter{s.c.doc}.deref(schema)
	for _, alternative := range append(schema.list("anyOf"), schema.list("enum")...) {
		if a := nodeOf(alternative); a != nil && len(typesOf(schema)) == 0 {
			kinds, inner := s.kinds(a)
			if out = append(out, kinds...); inner != nil {
				of = inner
			}
		}
	}
	if v, ok := schema["const"]; ok {
		kind := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean"}[reflect.TypeOf(v).Kind()]
		out = append(out, kind)
	}
	for _, kind := range typesOf(schema) {
		if f := schema.text("format"); f != "" && kind == "string" {
			kind = f
		}
		out = append(out, kind)
		if kind == "object" || kind == "array" {
			of = schema
		}
	}
	slices.Sort(out)
	return slices.Compact(out), of
}

func (s schemaChecker) member(path string, schema node, typ reflect.Type, required bool) {
	s.t.Helper()
	got, of := s.kinds(schema)
	want, nullable := "", false
	if strings.HasPrefix(typ.Name(), "optional[") {
		f, _ := typ.FieldByName("Value")
		typ, nullable = f.Type, !required
	}
	if typ.Kind() == reflect.Pointer {
		typ, nullable = typ.Elem(), true
	}
	switch {
	case typ == reflect.TypeFor[access.ID]():
		want = "uuid"
	case typ == reflect.TypeFor[time.Time]():
		want = "date-time"
	case typ == reflect.TypeFor[json.RawMessage]():
		return
	case typ == reflect.TypeFor[object]():
		want = "object"
	case typ.Kind() == reflect.Struct, typ.Kind() == reflect.Map:
		want = "object"
	case typ.Kind() == reflect.Slice:
		want = "array"
	case typ.Kind() == reflect.String:
		want = "string"
	case typ.Kind() == reflect.Bool:
		want = "boolean"
	default:
		want = "integer"
	}
	if slices.Equal(got, []string{"null"}) && (nullable || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map) {
		return // what nobody here ever says
	}
	// An id or a time may be kept as text.
	same := func(kind string) bool {
		return kind == want || want == "string" && (kind == "uuid" || kind == "date-time")
	}
	rest := slices.DeleteFunc(slices.Clone(got), same)
	if len(rest) == len(got) || len(rest) > 0 != nullable || len(rest) > 0 && !slices.Equal(rest, []string{"null"}) {
		s.t.Errorf("%s is %v in the document, want %s, null: %v", path, got, want, nullable)
		return
	}
	switch {
	case want == "array" && of.object("items") != nil:
		s.member(path+"[]", of.object("items"), typ.Elem(), true)
	case want == "array" && typ.Elem().Kind() != reflect.Interface:
		s.t.Errorf("%s: the document does not say of what", path)
	case want == "object" && typ.Kind() == reflect.Struct:
		for name, known := range s.types {
			if known.of == typ && reflect.DeepEqual(s.c.doc.object("components").object("schemas").object(name), of) {
				return
			}
		}
		s.t.Errorf("%s is not the schema of %s", path, typ)
	}
}
