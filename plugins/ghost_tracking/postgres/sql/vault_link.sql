-- The vault that this database belongs to, the sync token that both share, and how far a comparison of both is.

-- name: own_vault
-- The vault that this database belongs to; no row before the first.
SELECT vault_id, root FROM vault_identity;

-- name: remember_vault
-- Belong to this vault, unless there is one already; where it is this one, note where it is now. Returns what holds.
INSERT INTO vault_identity AS v (vault_id, root) VALUES (%(vault_id)s, %(root)s)
ON CONFLICT (singleton) DO UPDATE
SET root = CASE WHEN v.vault_id = excluded.vault_id THEN excluded.root ELSE v.root END
RETURNING vault_id, root;

-- name: adopt_vault
-- Belong to this vault from now on.
INSERT INTO vault_identity (vault_id, root) VALUES (%(vault_id)s, %(root)s)
ON CONFLICT (singleton) DO UPDATE
SET vault_id = excluded.vault_id, root = excluded.root, recorded_at = excluded.recorded_at;

-- name: sync_token
-- The token that this database shares with its vault; no row before the first.
SELECT token, made_at FROM sync_token;

-- name: set_sync_token
-- Share a new token with the vault.
INSERT INTO sync_token (token, made_at) VALUES (%(token)s, %(made_at)s)
ON CONFLICT (singleton) DO UPDATE SET token = excluded.token, made_at = excluded.made_at;

-- name: rebuild_progress
-- How far the comparison of the schedule with the vault is; no row where none is under way.
SELECT begun_at, vault_token, done_before, compared, restored FROM rebuild_progress;

-- name: set_rebuild_progress
-- Remember how far it is.
INSERT INTO rebuild_progress AS p (begun_at, vault_token, done_before, compared, restored)
VALUES (%(begun_at)s, %(vault_token)s, %(done_before)s, %(compared)s, %(restored)s)
ON CONFLICT (singleton) DO UPDATE
SET begun_at = excluded.begun_at, vault_token = excluded.vault_token, done_before = excluded.done_before,
    compared = excluded.compared, restored = excluded.restored, updated_at = now();

-- name: end_rebuild
-- It is over.
DELETE FROM rebuild_progress;
