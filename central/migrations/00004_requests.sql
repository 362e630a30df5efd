-- +goose Up
-- People who ask for access and decide about it. roles are separated by commas;
-- card is the identification of a proximity key, empty for none; key_id is the
-- access key that holds what was granted, empty while there is none.
CREATE TABLE users (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    domain     TEXT NOT NULL,
    roles      TEXT NOT NULL,
    card       TEXT NOT NULL,
    person_id  TEXT NOT NULL,
    key_id     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (name, domain) WHERE removed_at = 0;
-- Each number on a card is one person's.
CREATE TABLE user_cards (
    part    TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id)
);
CREATE TABLE user_tokens (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id),
    hash       TEXT NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
);
CREATE INDEX user_tokens_user ON user_tokens (user_id);
-- A level without a row takes no requests.
CREATE TABLE level_rules (
    level_id       TEXT PRIMARY KEY,
    required_votes BIGINT NOT NULL
);
CREATE TABLE level_approvers (
    level_id TEXT NOT NULL REFERENCES level_rules (level_id),
    user_id  TEXT NOT NULL REFERENCES users (id),
    PRIMARY KEY (level_id, user_id)
);
CREATE INDEX level_approvers_user ON level_approvers (user_id);
-- Two levels that no person may hold at once.
CREATE TABLE exclusions (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    left_level  TEXT NOT NULL,
    right_level TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (left_level, right_level)
);
-- state is pending, granted, rejected, expired, revoked or withdrawn; times are 0
-- for none. A pending request lapses at its deadline, a granted one at expires_at,
-- whatever the state still says. outcome, outstanding and violation are JSON.
CREATE TABLE access_requests (
    id             TEXT PRIMARY KEY,
    user_id        TEXT NOT NULL REFERENCES users (id),
    level_id       TEXT NOT NULL,
    level_name     TEXT NOT NULL,
    kind           TEXT NOT NULL,
    hours          BIGINT NOT NULL,
    starts_at      BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    deadline       BIGINT NOT NULL,
    reason         TEXT NOT NULL,
    required_votes BIGINT NOT NULL,
    state          TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    granted_at     BIGINT NOT NULL,
    ended_at       BIGINT NOT NULL,
    ended_by       TEXT NOT NULL,
    ended_reason   TEXT NOT NULL,
    key_id         TEXT NOT NULL,
    outcome        TEXT NOT NULL,
    outstanding    TEXT NOT NULL,
    violation      TEXT NOT NULL,
    fault          TEXT NOT NULL
);
CREATE INDEX access_requests_user ON access_requests (user_id, created_at);
CREATE INDEX access_requests_level ON access_requests (level_id);
CREATE INDEX access_requests_created ON access_requests (created_at, id);
CREATE INDEX access_requests_open ON access_requests (state) WHERE state IN ('pending', 'granted');
CREATE TABLE access_request_votes (
    id         TEXT PRIMARY KEY,
    request_id TEXT NOT NULL REFERENCES access_requests (id),
    user_id    TEXT NOT NULL REFERENCES users (id),
    accepted   BOOLEAN NOT NULL,
    reason     TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (request_id, user_id)
);

-- +goose Down
DROP TABLE access_request_votes;
DROP TABLE access_requests;
DROP TABLE exclusions;
DROP TABLE level_approvers;
DROP TABLE level_rules;
DROP TABLE user_tokens;
DROP TABLE user_cards;
DROP TABLE users;
