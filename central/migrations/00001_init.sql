-- +goose Up
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value BYTEA NOT NULL
);
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('writer', 0), ('generation', 0), ('event_sequence', 0);

CREATE TABLE integrations (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);
-- systems is a JSON array of system ids; it counts only when all_systems is false.
CREATE TABLE api_keys (
    id             TEXT PRIMARY KEY,
    integration_id TEXT NOT NULL REFERENCES integrations (id),
    hash           TEXT NOT NULL UNIQUE,
    all_systems    BOOLEAN NOT NULL,
    systems        TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT NOT NULL
);

-- epoch, revision, digest and key_count are the head of the panel's log; the
-- reported ones are where the panel says that it stands.
CREATE TABLE panels (
    system_id         TEXT PRIMARY KEY,
    epoch             BIGINT NOT NULL,
    revision          BIGINT NOT NULL,
    digest            BYTEA NOT NULL,
    key_count         BIGINT NOT NULL,
    next_claim        BIGINT NOT NULL,
    added_at          BIGINT NOT NULL,
    announcement      TEXT NOT NULL DEFAULT '',
    online            BOOLEAN NOT NULL DEFAULT FALSE,
    boot_id           TEXT NOT NULL DEFAULT '',
    conn_seq          BIGINT NOT NULL DEFAULT 0,
    version           TEXT NOT NULL DEFAULT '',
    clock             TEXT NOT NULL DEFAULT '',
    seen_at           BIGINT NOT NULL DEFAULT 0,
    reported_epoch    BIGINT NOT NULL DEFAULT 0,
    reported_revision BIGINT NOT NULL DEFAULT 0,
    alarm             TEXT NOT NULL DEFAULT '',
    alarm_at          BIGINT NOT NULL DEFAULT 0,
    status_boot       TEXT NOT NULL DEFAULT '',
    status_seq        BIGINT NOT NULL DEFAULT 0,
    events_boot       TEXT NOT NULL DEFAULT '',
    events_seq        BIGINT NOT NULL DEFAULT 0,
    events_through    BIGINT NOT NULL DEFAULT 0
);
-- What was accepted of a panel's two streams under each boot: within a boot
-- sequence numbers only grow, so a span says it all.
CREATE TABLE panel_boots (
    system_id TEXT NOT NULL REFERENCES panels (system_id),
    stream    TEXT NOT NULL,
    boot_id   TEXT NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq  BIGINT NOT NULL,
    PRIMARY KEY (system_id, stream, boot_id)
);
CREATE TABLE losses (
    system_id   TEXT NOT NULL REFERENCES panels (system_id),
    stream      TEXT NOT NULL,
    boot_id     TEXT NOT NULL,
    from_seq    BIGINT NOT NULL,
    to_seq      BIGINT NOT NULL,
    noticed_at  BIGINT NOT NULL,
    PRIMARY KEY (system_id, stream, boot_id, from_seq)
);
CREATE TABLE panel_levels (
    level_id  TEXT NOT NULL,
    system_id TEXT NOT NULL REFERENCES panels (system_id),
    name      TEXT NOT NULL,
    owned     BOOLEAN NOT NULL,
    announced BOOLEAN NOT NULL,
    first_at  BIGINT NOT NULL,
    PRIMARY KEY (level_id, system_id)
);
CREATE INDEX panel_levels_system ON panel_levels (system_id);

CREATE TABLE persons (
    id             TEXT PRIMARY KEY,
    integration_id TEXT NOT NULL REFERENCES integrations (id),
    first_name     TEXT NOT NULL,
    last_name      TEXT NOT NULL,
    created_at     BIGINT NOT NULL
);
-- identification is empty for a code, which is only in code_sealed.
CREATE TABLE keys (
    id             TEXT PRIMARY KEY,
    integration_id TEXT NOT NULL REFERENCES integrations (id),
    key_type       TEXT NOT NULL,
    identification TEXT NOT NULL,
    code_sealed    BYTEA,
    code_generated BOOLEAN NOT NULL,
    pin_sealed     BYTEA,
    state          TEXT NOT NULL,
    valid_from     BIGINT,
    valid_to       BIGINT,
    person_id      TEXT NOT NULL REFERENCES persons (id),
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    removed_at     BIGINT NOT NULL
);
CREATE INDEX keys_removed ON keys (removed_at) WHERE removed_at > 0;
CREATE TABLE key_levels (
    key_id   TEXT NOT NULL REFERENCES keys (id),
    level_id TEXT NOT NULL,
    place    BIGINT NOT NULL,
    PRIMARY KEY (key_id, level_id)
);
CREATE INDEX key_levels_level ON key_levels (level_id);
-- One row for each part of a live key's identification; for a code, its keyed hash.
CREATE TABLE key_parts (
    integration_id TEXT NOT NULL REFERENCES integrations (id),
    part           TEXT NOT NULL,
    key_id         TEXT NOT NULL REFERENCES keys (id),
    PRIMARY KEY (integration_id, part)
);
CREATE INDEX key_parts_key ON key_parts (key_id);
-- Keyed hashes of every text under which a live code may reach a panel.
CREATE TABLE code_forms (
    form   TEXT NOT NULL,
    key_id TEXT NOT NULL REFERENCES keys (id),
    PRIMARY KEY (form, key_id)
);
CREATE INDEX code_forms_key ON code_forms (key_id);

-- The latest revision about a key on a panel. put_revision is that of a put
-- which still counts in the digest, 0 when none does.
CREATE TABLE panel_keys (
    system_id    TEXT NOT NULL REFERENCES panels (system_id),
    key_id       TEXT NOT NULL,
    claim        BIGINT NOT NULL,
    ident        TEXT NOT NULL,
    op           TEXT NOT NULL,
    revision     BIGINT NOT NULL,
    put_revision BIGINT NOT NULL,
    result       TEXT NOT NULL,
    error_type   TEXT NOT NULL,
    detail       TEXT NOT NULL,
    applied_at   BIGINT NOT NULL,
    PRIMARY KEY (system_id, key_id)
);
CREATE INDEX panel_keys_key ON panel_keys (key_id);
-- digest and key_count are those after the revision.
CREATE TABLE panel_log (
    system_id  TEXT NOT NULL REFERENCES panels (system_id),
    epoch      BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    op         TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    claim      BIGINT NOT NULL,
    payload    BYTEA,
    digest     BYTEA NOT NULL,
    key_count  BIGINT NOT NULL,
    answered   BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (system_id, epoch, revision)
);
CREATE INDEX panel_log_unanswered ON panel_log (system_id, epoch, revision) WHERE NOT answered;
CREATE TABLE results (
    system_id   TEXT NOT NULL REFERENCES panels (system_id),
    epoch       BIGINT NOT NULL,
    revision    BIGINT NOT NULL,
    key_id      TEXT NOT NULL,
    result      TEXT NOT NULL,
    error_type  TEXT NOT NULL,
    detail      TEXT NOT NULL,
    panel_time  BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (system_id, epoch, revision)
);

-- owner_id is the integration whose key it was, identification is empty for codes.
CREATE TABLE events (
    sequence_id    BIGINT PRIMARY KEY,
    system_id      TEXT NOT NULL REFERENCES panels (system_id),
    boot_id        TEXT NOT NULL,
    seq            BIGINT NOT NULL,
    event_time     BIGINT NOT NULL,
    mono_ms        BIGINT NOT NULL,
    clock          TEXT NOT NULL,
    event_type     BIGINT NOT NULL,
    category       TEXT NOT NULL,
    reason         TEXT NOT NULL,
    door           TEXT NOT NULL,
    access_point   TEXT NOT NULL,
    key_id         TEXT NOT NULL,
    key_type       TEXT NOT NULL,
    identification TEXT NOT NULL,
    credential     TEXT NOT NULL,
    person_id      TEXT NOT NULL,
    owner_id       TEXT NOT NULL,
    detail         TEXT NOT NULL,
    received_at    BIGINT NOT NULL,
    UNIQUE (system_id, boot_id, seq)
);
CREATE INDEX events_time ON events (event_time);

CREATE TABLE idempotency (
    integration_id TEXT NOT NULL REFERENCES integrations (id),
    token          TEXT NOT NULL,
    body           TEXT NOT NULL,
    response       BYTEA NOT NULL,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (integration_id, token)
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE events;
DROP TABLE results;
DROP TABLE panel_log;
DROP TABLE panel_keys;
DROP TABLE code_forms;
DROP TABLE key_parts;
DROP TABLE key_levels;
DROP TABLE keys;
DROP TABLE persons;
DROP TABLE panel_levels;
DROP TABLE losses;
DROP TABLE panel_boots;
DROP TABLE panels;
DROP TABLE api_keys;
DROP TABLE integrations;
DROP TABLE counters;
DROP TABLE meta;
