package central

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"postern/access"
)

// What follows are the models of the access request status API. A member that
// Postern has nothing to say about is null or empty, never made up. A request is
// for one access level and for whoever made it, so that requester and
// requestedFor are one, and the ids of the request and of its only item.

// dtoRef names an object by its kind.
type dtoRef struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// The kinds of objects that are named here.
const (
	dtoIdentity = "IDENTITY"
	dtoAccess   = "ACCESS_PROFILE" // an access level
	dtoPolicy   = "SOD_POLICY"     // two levels that exclude each other
)

type localizedText struct {
	Locale string `json:"locale"`
	Origin string `json:"localeOrigin"`
	Text   string `json:"text"`
}

func english(text string) localizedText { return localizedText{"en-US", "DEFAULT", text} }

type requestedItemStatus struct {
	Name             string               `json:"name"`
	Type             string               `json:"type"`
	Cancelled        *cancelledDetails    `json:"cancelledRequestDetails"`
	Errors           [][]localizedText    `json:"errorMessages"`
	State            string               `json:"state"`
	Approvals        []approvalDetails    `json:"approvalDetails"`
	ManualWorkItems  []struct{}           `json:"manualWorkItemDetails"` // null: nobody does by hand what panels do
	ItemID           string               `json:"accountActivityItemId"`
	RequestType      string               `json:"requestType"`
	Modified         string               `json:"modified"`
	Created          string               `json:"created"`
	Requester        dtoRef               `json:"requester"`
	RequestedFor     dtoRef               `json:"requestedFor"`
	RequesterComment *commentDetails      `json:"requesterComment"`
	Violation        *sodViolationContext `json:"sodViolationContext"`
	Provisioning     *struct{}            `json:"provisioningDetails"`       // null: it is only about manual work items
	PreApproval      *struct{}            `json:"preApprovalTriggerDetails"` // null: there is no such trigger
	Phases           []phase              `json:"accessRequestPhases"`
	Description      *string              `json:"description"`
	RemoveDate       *string              `json:"removeDate"`
	Cancelable       bool                 `json:"cancelable"`
	AccessRequestID  string               `json:"accessRequestId"`
	ClientMetadata   map[string]string    `json:"clientMetadata"` // null: a request has none
}

type cancelledDetails struct {
	Comment  *string `json:"comment"`
	Owner    *dtoRef `json:"owner"`
	Modified string  `json:"modified"`
}

type approvalDetails struct {
	Forwarded     bool            `json:"forwarded"`
	OriginalOwner *dtoRef         `json:"originalOwner"`
	CurrentOwner  dtoRef          `json:"currentOwner"`
	ReviewedBy    *dtoRef         `json:"reviewedBy"`
	Modified      string          `json:"modified"`
	Status        string          `json:"status"`
	Scheme        string          `json:"scheme"`
	Errors        []localizedText `json:"errorMessages"`
	Comment       *string         `json:"comment"`
	RemoveDate    *string         `json:"removeDate"`
}

type commentDetails struct {
	Comment string `json:"comment"`
	Author  dtoRef `json:"author"`
	Created string `json:"created"`
}

type phase struct {
	Started   string  `json:"started"`
	Finished  *string `json:"finished"`
	Name      string  `json:"name"`
	State     string  `json:"state"`
	Result    *string `json:"result"`
	Reference *string `json:"phaseReference"`
}

type sodViolationContext struct {
	State string         `json:"state"`
	UUID  string         `json:"uuid"`
	Check sodCheckResult `json:"violationCheckResult"`
}

type sodCheckResult struct {
	Message  *localizedText    `json:"message"`
	Metadata map[string]string `json:"clientMetadata"`
	Contexts []sodContext      `json:"violationContexts"`
	Policies []dtoRef          `json:"violatedPolicies"`
}

type sodContext struct {
	Policy   dtoRef      `json:"policy"`
	Criteria sodCriteria `json:"conflictingAccessCriteria"`
}

type sodCriteria struct {
	Left  sodSide `json:"leftCriteria"`
	Right sodSide `json:"rightCriteria"`
}

type sodSide struct {
	List []sodCriterion `json:"criteriaList"`
}

type sodCriterion struct {
	Existing bool `json:"existing"`
	dtoRef
}

// violation checks whether a user who is granted a request would hold two levels
// that exclude each other; nil when not.
func (t *tx) violation(ctx context.Context, u User, r *accessRequest) (*sodViolationContext, error) {
	pairs, err := t.broken(ctx, u, r.level, r.id)
	if err != nil || len(pairs) == 0 {
		return nil, err
	}
	v := &sodViolationContext{State: "SUCCESS", UUID: uuid.NewString()}
	for _, x := range pairs {
		side := func(level string, existing bool) (sodSide, error) {
			names, err := all(ctx, t, scanText, "SELECT name FROM panel_levels WHERE level_id = $1 ORDER BY owned DESC, system_id LIMIT 1", level)
			if err != nil {
				return sodSide{}, fmt.Errorf("read name of access level: %w", err)
			}
			return sodSide{[]sodCriterion{{existing, dtoRef{dtoAccess, level, strings.Join(names, "")}}}}, nil
		}
		c := sodContext{Policy: dtoRef{dtoPolicy, x.ID, x.Name}}
		if c.Criteria.Left, err = side(x.Left.String(), x.Left != r.level); err != nil {
			return nil, err
		}
		if c.Criteria.Right, err = side(x.Right.String(), x.Right != r.level); err != nil {
			return nil, err
		}
		v.Check.Contexts = append(v.Check.Contexts, c)
		v.Check.Policies = append(v.Check.Policies, c.Policy)
	}
	return v, nil
}

// noteViolation keeps what a vote that would have granted the request met.
func (t *tx) noteViolation(ctx context.Context, id string) error {
	r, err := t.request(ctx, id)
	if err != nil {
		return err
	}
	u, err := t.user(ctx, r.user)
	if err != nil {
		return err
	}
	v, err := t.violation(ctx, u, r)
	if err != nil || v == nil {
		return err
	}
	return t.exec(ctx, "UPDATE access_requests SET violation = $1, updated_at = $2 WHERE id = $3", jsonOrEmpty(v), t.now.UnixMicro(), id)
}

// The states of an access request in this API.
const (
	itemExecuting  = "EXECUTING"
	itemCompleted  = "REQUEST_COMPLETED"
	itemCancelled  = "CANCELLED"
	itemTerminated = "TERMINATED"
	itemVerifying  = "PROVISIONING_VERIFICATION_PENDING"
	itemRejected   = "REJECTED"
	itemFailed     = "PROVISIONING_FAILED"
	itemPartly     = "NOT_ALL_ITEMS_PROVISIONED"
	itemError      = "ERROR"
)

// itemState is the state of a request whose status is this and which stands so
// with its panels. What nobody decided in time is terminated: it ended before it
// was able to complete.
func itemState(r *accessRequest, status string, p provisioning) string {
	switch {
	case status == statePending:
		return itemExecuting
	case status == stateRejected:
		return itemRejected
	case status == stateWithdrawn:
		return itemCancelled
	case status == stateRevoked, r.granted.IsZero():
		return itemTerminated
	case r.fault != "":
		return itemError
	case len(p.Pending) > 0 && status == stateGranted && p.Late:
		return itemVerifying
	case len(p.Pending) > 0 && status == stateGranted:
		return itemExecuting
	case len(p.Pending) > 0 && len(p.Applied) == 0:
		return itemTerminated // it ran out before any panel had it
	case len(p.Applied) == 0:
		return itemFailed
	case len(p.Failed) > 0 || len(p.Pending) > 0:
		return itemPartly
	}
	return itemCompleted
}

// item shows a request in the access request status API.
func (s *surroundings) item(r *accessRequest, p provisioning) requestedItemStatus {
	status := r.status(s.now)
	user := s.identity(r.user)
	item := requestedItemStatus{
		Name: r.levelName, Type: dtoAccess, Errors: [][]localizedText{}, State: itemState(r, status, p), Approvals: s.approvals(r, status),
		ItemID: r.id, RequestType: "GRANT_ACCESS", Modified: rfc3339(r.modified(s.now)), Created: rfc3339(r.created),
		Requester: user, RequestedFor: user,
		RequesterComment: &commentDetails{Comment: r.reason, Author: user, Created: rfc3339(r.created)},
		Violation:        r.violation, Phases: s.phases(r, status, p), RemoveDate: dateOf(r.expires),
		Cancelable: status == statePending, AccessRequestID: r.id,
	}
	if status == stateWithdrawn || status == stateRevoked {
		d := &cancelledDetails{Comment: textOrNull(r.endedReason), Modified: rfc3339(r.ended)}
		if r.endedBy != "" {
			by := s.identity(r.endedBy)
			d.Owner = &by
		}
		item.Cancelled = d
	}
	if r.granted.IsZero() {
		return item
	}
	var texts []localizedText
	if r.fault != "" {
		texts = append(texts, english(r.fault))
	}
	for _, f := range p.Failed {
		texts = append(texts, english("panel "+f.SystemID+": "+f.ErrorType+meaning(f.ErrorType)))
	}
	if len(p.Applied)+len(p.Pending)+len(p.Failed) == 0 {
		texts = append(texts, english("no panel has the access level any more"))
	}
	if texts != nil {
		item.Errors = append(item.Errors, texts)
	}
	return item
}

// meaning is what an error type says to people, "" for one that speaks for itself.
func meaning(errorType string) string {
	switch access.ErrorType(errorType) {
	case access.AccessKeyInUse:
		return ": the card or code is another access key there"
	case access.CodeNotEnabled:
		return ": codes are not in use there, and the user has no card"
	case access.InvalidCodeSize:
		return ": the code is longer or shorter than those in use there"
	case access.AccessLevelNotFound:
		return ": the panel does not have the access level any more"
	}
	return ""
}

func (s *surroundings) identity(id string) dtoRef { return dtoRef{dtoIdentity, id, s.users[id].Name} }

// approvals are the votes, and those that were or are waited for.
func (s *surroundings) approvals(r *accessRequest, status string) []approvalDetails {
	out := []approvalDetails{}
	one := func(user, status string, at time.Time) *approvalDetails {
		out = append(out, approvalDetails{
			CurrentOwner: s.identity(user), Modified: rfc3339(at), Status: status, Scheme: "ACCESS_PROFILE_OWNER",
			Errors: []localizedText{}, RemoveDate: dateOf(r.expires),
		})
		return &out[len(out)-1]
	}
	for _, v := range r.votes {
		status := "APPROVED"
		if !v.accepted {
			status = "REJECTED"
		}
		a := one(v.user, status, v.at)
		by := s.identity(v.user)
		a.ReviewedBy, a.Comment = &by, textOrNull(v.reason)
	}
	waiting, word, at := r.outstanding, "CANCELLED", r.finish(s.now)
	switch {
	case !r.granted.IsZero():
		word, at = "ARCHIVED", r.granted // the others' votes were enough
	case status == stateExpired:
		word = "EXPIRED"
	case status == statePending:
		word, at = "PENDING", r.created
	}
	if waiting == nil { // not decided, or not noted yet that it ran out
		waiting = slices.DeleteFunc(slices.Clone(s.rules[r.level].Approvers), func(id string) bool { return id == r.user || r.voted(id) })
	}
	for _, id := range waiting {
		one(id, word, at)
	}
	return out
}

// phases are what the request has gone through: its votes, and once it was
// granted its way to the panels.
func (s *surroundings) phases(r *accessRequest, status string, p provisioning) []phase {
	text := func(s string) *string { return &s }
	approval := phase{Started: rfc3339(r.created), Name: "APPROVAL_PHASE", State: "EXECUTING", Reference: text("approvalDetails")}
	if r.granted.IsZero() {
		switch status {
		case stateRejected:
			approval.State, approval.Result = "COMPLETED", text("FAILED")
		case stateWithdrawn, stateRevoked, stateExpired:
			approval.State = "CANCELLED"
		}
		approval.Finished = dateOf(r.finish(s.now))
		return []phase{approval}
	}
	approval.State, approval.Result, approval.Finished = "COMPLETED", text("SUCCESSFUL"), dateOf(r.granted)
	provisioning := phase{Started: rfc3339(r.granted), Name: "PROVISIONING_PHASE", State: "EXECUTING", Reference: text("")}
	switch {
	case len(p.Pending) > 0 || r.fault != "":
		if status != stateGranted {
			provisioning.State, provisioning.Finished = "CANCELLED", dateOf(r.finish(s.now))
		}
	case len(p.Failed) > 0 || len(p.Applied) == 0:
		provisioning.State, provisioning.Result, provisioning.Finished = "COMPLETED", text("FAILED"), dateOf(p.At)
	default:
		provisioning.State, provisioning.Result, provisioning.Finished = "COMPLETED", text("SUCCESSFUL"), dateOf(p.At)
	}
	return []phase{approval, provisioning}
}

// trackedError is an error in the access request status API.
type trackedError struct {
	Code     string          `json:"detailCode"`
	Tracking string          `json:"trackingId"`
	Messages []localizedText `json:"messages"`
	Causes   []localizedText `json:"causes"`
}

// sayTracked is the dialect of the access request status API. The tracking id is
// in the log beside the request's outcome.
func (a *API) sayTracked(w http.ResponseWriter, p *Problem) {
	switch p.Status {
	case http.StatusUnauthorized:
		answer(w, p.Status, map[string]string{"error": p.Message})
		return
	case http.StatusTooManyRequests:
		answer(w, p.Status, map[string]string{"message": p.Message})
		return
	}
	id := uuid.New()
	e := trackedError{Tracking: fmt.Sprintf("%x", id[:]), Causes: []localizedText{}}
	general := http.StatusText(p.Status)
	switch p.Status {
	case http.StatusBadRequest:
		e.Code, general = "400.1 Bad Request Content", "The request can't be understood."
	case http.StatusForbidden:
		e.Code, general = "403 Forbidden", "The request was understood and is refused."
	case http.StatusInternalServerError:
		e.Code, general = "500.0 Internal Fault", "An internal fault occurred."
	default:
		e.Code = fmt.Sprintf("%d %s", p.Status, general)
	}
	e.Messages = []localizedText{english(general)}
	if p.Status != http.StatusInternalServerError {
		e.Causes = append(e.Causes, english(p.Message))
	}
	a.log.Info("refused", "status", p.Status, "tracking", e.Tracking)
	answer(w, p.Status, e)
}
