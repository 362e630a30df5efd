package central

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postern/access"
)

// maxItems is the most items of one answer, and how many there are when nothing
// is said.
const maxItems = 250

func (a *API) routeGovernance() {
	for _, prefix := range []string{"", "/v3", "/v2024"} {
		a.routeUser(prefix+"/access-request-status", a.sayTracked, map[string]userHandler{"GET": a.listItems})
	}
}

// itemQuery is what a list of items is asked for.
type itemQuery struct {
	requestedFor, requestedBy, regarding, assignedTo string // ids of users, "" for none
	count                                            bool
	limit, offset                                    int
	filter                                           filter // nil for none
	sorters                                          []sorter
}

type sorter struct {
	column     string
	descending bool
}

// readItemQuery reads the parameters; me is the caller.
func readItemQuery(r *http.Request, me string) (q itemQuery, err error) {
	v, err := query(r, "requested-for", "requested-by", "regarding-identity", "assigned-to", "count", "limit", "offset", "filters", "sorters")
	if err != nil {
		return q, err
	}
	for _, x := range []struct {
		name string
		to   *string
	}{
		{"requested-for", &q.requestedFor},
		{"requested-by", &q.requestedBy},
		{"regarding-identity", &q.regarding},
		{"assigned-to", &q.assignedTo},
	} {
		switch text, ok := v[x.name]; {
		case !ok:
		case text == "me":
			*x.to = me
		default:
			id, err := access.ParseID(text)
			if err != nil || id.IsZero() {
				return q, badRequest("InvalidParameter", x.name, "%s: want me or the id of a user", x.name)
			}
			*x.to = id.String()
		}
	}
	if q.regarding != "" && (q.requestedFor != "" || q.requestedBy != "") {
		return q, badRequest("InvalidParameter", "regarding-identity", "regarding-identity: goes neither with requested-for nor with requested-by")
	}
	if text, ok := v["count"]; ok {
		if q.count = text == "true"; !q.count && text != "false" {
			return q, badRequest("InvalidParameter", "count", "count: want true or false")
		}
	}
	if q.limit, err = number(v, "limit", maxItems, maxItems); err != nil {
		return q, err
	}
	if q.offset, err = number(v, "offset", 0, 1<<31-1); err != nil {
		return q, err
	}
	if text, ok := v["filters"]; ok {
		if q.filter, err = parseFilter(text); err != nil {
			return q, badRequest("InvalidParameter", "filters", "filters: %v", err)
		}
	}
	if text, ok := v["sorters"]; ok {
		if q.sorters, err = parseSorters(text); err != nil {
			return q, badRequest("InvalidParameter", "sorters", "sorters: %v", err)
		}
	}
	return q, nil
}

// sortColumns are the fields by which a list is sorted.
func sortColumns(field string) (column string, ok bool) {
	switch field {
	case "created":
		return "r.created_at", true
	case "modified":
		return "r.updated_at", true
	case "accountActivityItemId":
		return "r.id", true
	case "name":
		return "r.level_name", true
	}
	return "", false
}

// parseSorters reads fields with commas between; - before one is descending.
func parseSorters(text string) ([]sorter, error) {
	var out []sorter
	for field := range strings.SplitSeq(text, ",") {
		field, descending := strings.CutPrefix(strings.TrimSpace(field), "-")
		column, ok := sortColumns(field)
		if !ok {
			return nil, fmt.Errorf("can't sort by %.40q (one of created, modified, accountActivityItemId, name)", field)
		}
		if slices.ContainsFunc(out, func(s sorter) bool { return s.column == column }) {
			return nil, fmt.Errorf("%s is there twice", field)
		}
		out = append(out, sorter{column, descending})
	}
	return out, nil
}

// allowed refuses what a caller may not ask of others.
func (q itemQuery) allowed(u *actor) error {
	if u.Is(RoleAdmin) {
		return nil
	}
	for _, id := range []string{q.requestedFor, q.requestedBy, q.regarding, q.assignedTo} {
		if id != "" && id != u.ID {
			return forbidden("", "other users' access requests need a token of %s", RoleAdmin)
		}
	}
	return nil
}

// where is the condition under which a request is in the list.
func (q itemQuery) where(u *actor, p *params, bytewise string, now int64) string {
	terms := []string{"1 = 1"}
	own := u.Is(RoleAdmin)
	for _, id := range []string{q.requestedFor, q.requestedBy, q.regarding} {
		if id != "" { // who asks is who it is for
			terms = append(terms, "r.user_id = "+p.add(id))
			own = true
		}
	}
	if q.assignedTo != "" {
		own = true
		id := p.add(q.assignedTo)
		terms = append(terms, "r.state = 'pending' AND r.deadline > "+p.add(now)+" AND r.user_id <> "+id+
			" AND EXISTS (SELECT 1 FROM level_approvers l JOIN users a ON a.id = l.user_id WHERE l.level_id = r.level_id AND l.user_id = "+id+
			" AND (a.roles LIKE '%"+RoleApprover+"%' OR a.roles LIKE '%"+RoleAdmin+"%'))"+
			" AND NOT EXISTS (SELECT 1 FROM access_request_votes v WHERE v.request_id = r.id AND v.user_id = "+id+")")
	}
	if !own {
		terms = append(terms, "r.user_id = "+p.add(u.ID))
	}
	if q.filter != nil {
		terms = append(terms, q.filter(p, "r.id"+bytewise))
	}
	return strings.Join(terms, " AND ")
}

func (q itemQuery) order(bytewise string) string {
	var by []string
	for _, s := range append(slices.Clone(q.sorters), sorter{"r.created_at", true}, sorter{"r.id", false}) {
		column := s.column
		if column == "r.id" || column == "r.level_name" {
			column += bytewise
		}
		if s.descending {
			column += " DESC"
		}
		by = append(by, column)
	}
	return " ORDER BY " + strings.Join(by, ", ")
}

func (a *API) listItems(ctx context.Context, u *actor, w http.ResponseWriter, r *http.Request, _ []byte) (any, error) {
	q, err := readItemQuery(r, u.ID)
	if err != nil {
		return nil, err
	}
	if err := q.allowed(u); err != nil {
		return nil, err
	}
	out := []requestedItemStatus{}
	total := 0
	err = a.store.stable(ctx, func(t *tx) error {
		var p params
		where := "WHERE " + q.where(u, &p, a.store.bytewise, t.now.UnixMicro())
		if q.count {
			if err := t.QueryRowContext(ctx, "SELECT COUNT(*) FROM access_requests r "+where, p...).Scan(&total); err != nil {
				return err
			}
		}
		rest := where + q.order(a.store.bytewise) + " LIMIT " + p.add(q.limit) + " OFFSET " + p.add(q.offset)
		list, err := t.requests(ctx, rest, p...)
		if err != nil {
			return err
		}
		s, err := t.around(ctx, list)
		if err != nil {
			return err
		}
		for _, r := range list {
			var p provisioning
			if r.outcome != nil {
				p = *r.outcome
			} else if !r.granted.IsZero() {
				if p, err = t.provisioned(ctx, r); err != nil {
					return err
				}
			}
			out = append(out, s.item(r, p))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list access request statuses: %w", err)
	}
	if q.count {
		w.Header().Set("X-Total-Count", strconv.Itoa(total))
	}
	return out, nil
}
