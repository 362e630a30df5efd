-- +goose Up
-- A put that a later revision of its key follows has no payload: a panel that
-- takes it gets the content of the latest put instead, or none.
UPDATE panel_log SET payload = NULL WHERE op = 'put' AND NOT EXISTS (
    SELECT 1 FROM panel_keys k WHERE k.system_id = panel_log.system_id AND k.key_id = panel_log.key_id
        AND k.op = 'put' AND k.revision = panel_log.revision
);

-- The epoch of the log when the alarm began.
ALTER TABLE panels ADD COLUMN alarm_epoch BIGINT NOT NULL DEFAULT 0;
UPDATE panels SET alarm_epoch = epoch WHERE alarm <> '';

-- When an event happened, as far as one can tell: what an untrusted clock says
-- is no time to look for it by.
DROP INDEX events_time;
CREATE INDEX events_when ON events ((CASE WHEN clock IN ('trusted', 'holdover') THEN event_time ELSE received_at END));

-- +goose Down
DROP INDEX events_when;
CREATE INDEX events_time ON events (event_time);
ALTER TABLE panels DROP COLUMN alarm_epoch;
