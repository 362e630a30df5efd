-- +goose Up
-- Revisions below pruned are there only where they are the latest put of a key.
ALTER TABLE panels ADD COLUMN pruned BIGINT NOT NULL DEFAULT 0;
-- When the panel said that it took a snapshot, 0 once it was in step after that.
ALTER TABLE panels ADD COLUMN snapshot_taken_at BIGINT NOT NULL DEFAULT 0;
-- What the panel reported besides its position.
ALTER TABLE panels ADD COLUMN unsigned BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE panels ADD COLUMN pin_key_lost BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE panels ADD COLUMN reported_policy_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN reported_policy_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN reported_modes_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN reported_modes_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN policy_status TEXT NOT NULL DEFAULT '';
-- The newest documents of the panel, zeros for none.
ALTER TABLE panels ADD COLUMN policy_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN policy_revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN modes_epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE panels ADD COLUMN modes_revision BIGINT NOT NULL DEFAULT 0;
-- These two are no alarms any more: a snapshot follows.
UPDATE panels SET alarm = '', alarm_at = 0 WHERE alarm LIKE '%needs a snapshot';

-- Each version of a panel's policy and door modes, sealed.
CREATE TABLE documents (
    system_id  TEXT NOT NULL REFERENCES panels (system_id),
    kind       TEXT NOT NULL,
    epoch      BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    body       BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (system_id, kind, epoch, revision)
);

-- state is making, ready or dropped: then its chunks are gone, and it is kept to
-- know whose results arrive. asked_at is 0 until a chunk was asked for.
CREATE TABLE snapshots (
    id         TEXT PRIMARY KEY,
    system_id  TEXT NOT NULL REFERENCES panels (system_id),
    epoch      BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    digest     BYTEA NOT NULL,
    key_count  BIGINT NOT NULL,
    bytes      BIGINT NOT NULL,
    chunks     BIGINT NOT NULL,
    sha256     BYTEA NOT NULL,
    state      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    asked_at   BIGINT NOT NULL
);
CREATE INDEX snapshots_system ON snapshots (system_id);
CREATE TABLE snapshot_chunks (
    snapshot_id TEXT NOT NULL REFERENCES snapshots (id),
    n           BIGINT NOT NULL,
    data        BYTEA NOT NULL,
    PRIMARY KEY (snapshot_id, n)
);
-- Results of a snapshot, until all parts are there.
CREATE TABLE snapshot_parts (
    snapshot_id TEXT NOT NULL REFERENCES snapshots (id),
    part        BIGINT NOT NULL,
    parts       BIGINT NOT NULL,
    results     TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, part)
);

-- state is waiting, sent, done, refused or expired.
CREATE TABLE commands (
    id         TEXT PRIMARY KEY,
    system_id  TEXT NOT NULL REFERENCES panels (system_id),
    name       TEXT NOT NULL,
    target     TEXT NOT NULL,
    state      TEXT NOT NULL,
    error      TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX commands_open ON commands (created_at) WHERE state IN ('waiting', 'sent');

-- +goose Down
DROP TABLE commands;
DROP TABLE snapshot_parts;
DROP TABLE snapshot_chunks;
DROP TABLE snapshots;
DROP TABLE documents;
ALTER TABLE panels DROP COLUMN modes_revision;
ALTER TABLE panels DROP COLUMN modes_epoch;
ALTER TABLE panels DROP COLUMN policy_revision;
ALTER TABLE panels DROP COLUMN policy_epoch;
ALTER TABLE panels DROP COLUMN policy_status;
ALTER TABLE panels DROP COLUMN reported_modes_revision;
ALTER TABLE panels DROP COLUMN reported_modes_epoch;
ALTER TABLE panels DROP COLUMN reported_policy_revision;
ALTER TABLE panels DROP COLUMN reported_policy_epoch;
ALTER TABLE panels DROP COLUMN pin_key_lost;
ALTER TABLE panels DROP COLUMN unsigned;
ALTER TABLE panels DROP COLUMN snapshot_taken_at;
ALTER TABLE panels DROP COLUMN pruned;
