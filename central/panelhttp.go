package central

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"postern/access"
	"postern/wire"
)

// routePanels are the endpoints of operators: panels, their policies and door
// modes, commands, and the audit trail.
func (a *API) routePanels() {
	route := func(path string, methods map[string]userHandler) {
		a.routeUser(path, sayError, methods)
	}
	route("/v1/panels", map[string]userHandler{"GET": a.listPanels})
	route("/v1/panels/{system_id}", map[string]userHandler{"GET": a.getPanel})
	policy := a.forUser(sayError, map[string]userHandler{"GET": a.getPolicy, "PUT": a.putPolicy})
	check := a.forUser(sayError, map[string]userHandler{"POST": a.checkPolicy})
	a.route("/v1/panels/{system_id}/policy", withBody(MaxDocument, policy), http.MethodGet, http.MethodPut)
	a.route("/v1/panels/{system_id}/policy/check", withBody(MaxDocument, check), http.MethodPost)
	route("/v1/panels/{system_id}/policy/history", map[string]userHandler{"GET": a.policyHistory})
	route("/v1/panels/{system_id}/policy/history/{version}", map[string]userHandler{"GET": a.policyAt})
	route("/v1/panels/{system_id}/modes", map[string]userHandler{"GET": a.getModes})
	route("/v1/panels/{system_id}/modes/{door}", map[string]userHandler{"PUT": a.putMode})
	route("/v1/modes", map[string]userHandler{"PUT": a.putSiteMode})
	route("/v1/panels/{system_id}/doors/{door}/unlock", map[string]userHandler{"POST": a.unlockDoor})
	route("/v1/audit", map[string]userHandler{"GET": a.audit})
}

type bodyKey struct{}

// withBody lets an endpoint's bodies have up to n bytes.
func withBody(n int64, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, n)))
	}
}

// bodyLimit is the most bytes of a request's body.
func bodyLimit(ctx context.Context) int64 {
	if n, ok := ctx.Value(bodyKey{}).(int64); ok {
		return n
	}
	return maxBody
}

// seesPanels and runsPanels are who may read and who may act.
func seesPanels(u *actor) error { return u.must(RoleOperator, RoleAdmin, RoleAuditor) }
func runsPanels(u *actor) error { return u.must(RoleOperator, RoleAdmin) }

// systemOf is the panel in the path; one that can't be is not there.
func systemOf(r *http.Request) (string, error) {
	id := r.PathValue("system_id")
	if wire.CheckSystemID(id) != nil {
		return "", notFound("system_id", "panel")
	}
	return id, nil
}

// missing turns ErrNotFound into a 404.
func missing(err error, field, what string) error {
	if errors.Is(err, ErrNotFound) {
		return notFound(field, what)
	}
	return err
}

type panelsAnswer struct {
	Panels []PanelInfo `json:"panels"`
}

func (a *API) listPanels(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	if _, err := query(r); err != nil {
		return nil, err
	}
	panels, err := a.store.Panels(ctx)
	if err != nil {
		return nil, fmt.Errorf("list panels: %w", err)
	}
	return panelsAnswer{append([]PanelInfo{}, panels...)}, nil
}

func (a *API) getPanel(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	panels, err := a.store.Panels(ctx)
	if err != nil {
		return nil, fmt.Errorf("read panel: %w", err)
	}
	i := slices.IndexFunc(panels, func(p PanelInfo) bool { return p.SystemID == r.PathValue("system_id") })
	if i < 0 {
		return nil, notFound("system_id", "panel")
	}
	return panels[i], nil
}

func etag(v wire.Version) string { return fmt.Sprintf(`"%d-%d"`, v.Epoch, v.Revision) }

func (a *API) getPolicy(ctx context.Context, u *actor, w http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	p, err := a.store.Policy(ctx, system)
	if err != nil {
		return nil, missing(err, "system_id", "panel")
	}
	w.Header().Set("ETag", etag(p.Version))
	return p, nil
}

func (a *API) putPolicy(ctx context.Context, u *actor, w http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := runsPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	if _, err := policyBody(body); err != nil {
		return nil, policyProblem(err)
	}
	p, err := a.store.Policy(ctx, system)
	if err != nil {
		return nil, missing(err, "system_id", "panel")
	}
	when, err := precondition(r, p.Version)
	if err != nil {
		return nil, err
	}
	v, err := a.store.applyPolicy(ctx, system, body, when)
	switch {
	case errors.Is(err, ErrVersion):
		return nil, changedMeanwhile()
	case err != nil:
		return nil, missing(err, "system_id", "panel")
	}
	a.log.Info("policy applied", "by", u.ID, "system", system, "revision", v.Revision)
	a.wake()
	w.Header().Set("ETag", etag(v))
	return v, nil
}

func changedMeanwhile() *Problem {
	return problem(http.StatusPreconditionFailed, "VersionChanged", "", "the policy has another version by now: read it again, and change that")
}

// precondition is the version that If-Match or If-None-Match asks for, nil when
// neither does. A change without one overwrites whatever is there.
func precondition(r *http.Request, newest wire.Version) (*wire.Version, error) {
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case match == "" && none == "":
		return nil, nil
	case none == "*" && match == "" && newest.Revision == 0,
		match == "*" && none == "" && newest.Revision > 0,
		match == etag(newest) && none == "":
		return &newest, nil
	}
	return nil, changedMeanwhile()
}

func policyProblem(err error) *Problem {
	p := decodeProblem(err)
	return badRequest("InvalidPolicy", p.Field, "policy: %v", err)
}

// PolicyCheck is what is wrong with a policy.
type PolicyCheck struct {
	Faults []wire.PolicyFault `json:"faults"`
	// Complete reports whether doors and access points were looked at: before a
	// panel has announced its own, nobody here knows them.
	Complete bool `json:"complete"`
}

// CheckPolicy says everything that is wrong with a policy for a panel, as far as
// the panel has announced what it has. It gives ErrNotFound for an unknown panel.
func (s *Store) CheckPolicy(ctx context.Context, systemID string, doc []byte) (PolicyCheck, error) {
	out := PolicyCheck{Faults: []wire.PolicyFault{}}
	var text string
	err := s.view(ctx, func(t *tx) error {
		if _, err := t.head(ctx, systemID); err != nil {
			return err
		}
		return t.QueryRowContext(ctx, "SELECT announcement FROM panels WHERE system_id = $1", systemID).Scan(&text)
	})
	if err != nil {
		return out, fmt.Errorf("check policy: %w", err)
	}
	has := announced(text)
	out.Complete = len(has.AccessPoints) > 0
	body, err := policyBody(doc)
	if err != nil {
		out.Faults = append(out.Faults, wire.PolicyFault{Path: decodeProblem(err).Field, Message: err.Error()})
		return out, nil
	}
	p, err := wire.DecodePolicy(versioned(wire.Version{Epoch: 1, Revision: 1}, body))
	if err != nil {
		return out, fmt.Errorf("check policy: %w", err)
	}
	if !out.Complete {
		return out, nil
	}
	base := &access.Policy{Location: time.UTC}
	for _, d := range has.Doors {
		base.Doors = append(base.Doors, access.DoorPolicy{ID: d.ID, Name: d.Name, Times: access.DefaultDoorTimes()})
	}
	for _, o := range has.AccessPoints {
		mode, _ := access.ParsePointMode(o.Mode) // the panel's own default where it says another
		base.Points = append(base.Points, access.AccessPoint{ID: o.ID, Name: o.Name, Door: o.Door, Reader: o.ID, Mode: mode})
	}
	_, faults := p.Access(base)
	for _, f := range faults[:min(len(faults), wire.MaxFaults)] {
		out.Faults = append(out.Faults, wire.PolicyFault{Path: f.Path, Message: f.Message})
	}
	return out, nil
}

func (a *API) checkPolicy(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	out, err := a.store.CheckPolicy(ctx, system, body)
	if err != nil {
		return nil, missing(err, "system_id", "panel")
	}
	return out, nil
}

func (a *API) getModes(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	if err := seesPanels(u); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	m, err := a.store.Modes(ctx, system)
	if err != nil {
		return nil, missing(err, "system_id", "panel")
	}
	return m, nil
}

type modeRequest struct {
	Mode    string             `json:"mode"`
	Until   optional[string]   `json:"until"`
	Systems optional[[]string] `json:"systems"` // of a whole site alone
}

func (a *API) readMode(u *actor, body []byte, site bool) (m modeRequest, until time.Time, err error) {
	if err := runsPanels(u); err != nil {
		return m, until, err
	}
	if m, err = decode[modeRequest](body); err != nil {
		return m, until, err
	}
	if m.Systems.Set && !site {
		return m, until, badRequest("UnknownField", "systems", "systems is not a member of this request")
	}
	if _, err := access.ParseDoorMode(m.Mode); err != nil && m.Mode != ModeScheduled {
		return m, until, badRequest("InvalidMode", "mode", "mode: unknown (one of Locked, Unlocked, Blocked, LockedDown, LockedOpen, %s)", ModeScheduled)
	}
	end, err := readDate(m.Until, "until")
	if err != nil {
		return m, until, err
	}
	if end.Has() && !end.Value.After(a.store.now()) {
		return m, until, badRequest("InvalidDate", "until", "until: is over already")
	}
	return m, end.Value, nil
}

func (a *API) putMode(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	m, until, err := a.readMode(u, body, false)
	if err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	door := r.PathValue("door")
	if checkText(door, 64) != nil {
		return nil, notFound("door", "door")
	}
	v, err := a.store.SetMode(ctx, system, door, m.Mode, until)
	if err != nil {
		return nil, missing(err, "door", "panel or door")
	}
	a.log.Info("door mode set", "by", u.ID, "system", system, "door", clean(door), "mode", m.Mode)
	a.wake()
	return v, nil
}

// SiteMode is a panel's door modes after those of a whole site were set.
type SiteMode struct {
	SystemID string `json:"system_id"`
	wire.Version
}

type siteModeAnswer struct {
	Panels []SiteMode `json:"panels"`
}

// SetSiteMode sets the mode of every door of every panel, or of those named, in
// one transaction: none or all. See SetMode.
func (s *Store) SetSiteMode(ctx context.Context, systems []string, mode string, until time.Time) ([]SiteMode, error) {
	out := []SiteMode{}
	err := s.update(ctx, func(t *tx) error {
		out = out[:0]
		if len(systems) == 0 {
			var err error
			if systems, err = all(ctx, t, scanText, "SELECT system_id FROM panels ORDER BY system_id"); err != nil {
				return err
			}
		}
		for _, id := range systems {
			v, err := t.setMode(ctx, id, wire.AllDoors, mode, until)
			if err != nil {
				return err
			}
			out = append(out, SiteMode{id, v})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("set door modes: %w", err)
	}
	return out, nil
}

func (a *API) putSiteMode(ctx context.Context, u *actor, _ http.ResponseWriter, _ *http.Request, body []byte) (any, error) {
	m, until, err := a.readMode(u, body, true)
	if err != nil {
		return nil, err
	}
	systems := slices.Compact(slices.Sorted(slices.Values(m.Systems.Value)))
	for _, id := range systems {
		if wire.CheckSystemID(id) != nil {
			return nil, notFound("systems", "panel")
		}
	}
	if m.Systems.Has() && len(systems) == 0 {
		return nil, badRequest("InvalidSystems", "systems", "systems: is empty; leave it out for all panels")
	}
	out, err := a.store.SetSiteMode(ctx, systems, m.Mode, until)
	if err != nil {
		return nil, missing(err, "systems", "panel")
	}
	a.log.Info("door modes of the site set", "by", u.ID, "panels", len(out), "mode", m.Mode)
	a.wake()
	return siteModeAnswer{out}, nil
}

func (a *API) unlockDoor(ctx context.Context, u *actor, _ http.ResponseWriter, r *http.Request, body []byte) (any, error) {
	if err := runsPanels(u); err != nil {
		return nil, err
	}
	if _, err := decode[struct{}](body); err != nil {
		return nil, err
	}
	system, err := systemOf(r)
	if err != nil {
		return nil, err
	}
	door := r.PathValue("door")
	if checkText(door, 64) != nil || door == wire.AllDoors {
		return nil, notFound("door", "door")
	}
	a.log.Info("unlock asked for", "by", u.ID, "system", system, "door", clean(door))
	out, err := a.store.command(ctx, system, wire.CommandUnlock, door, a.wake)
	if err != nil {
		return nil, missing(err, "door", "panel or door")
	}
	switch out.Result {
	case CommandDone:
		return out, nil
	case CommandRefused:
		return nil, problem(http.StatusConflict, "CommandRefused", "", "the door was not released: %s", out.Error)
	}
	return nil, problem(http.StatusGatewayTimeout, "CommandExpired", "", "whether the door was released is not known: %s", out.Error)
}
