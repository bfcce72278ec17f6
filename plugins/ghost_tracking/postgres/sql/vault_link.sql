-- The vault that this database belongs to, and the mark that both share.

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

-- name: mark
-- The mark that this database shares with its vault; no row before the first.
SELECT token, marked_at FROM vault_mark;

-- name: set_mark
-- Share a new mark with the vault.
INSERT INTO vault_mark (token, marked_at) VALUES (%(token)s, %(marked_at)s)
ON CONFLICT (singleton) DO UPDATE SET token = excluded.token, marked_at = excluded.marked_at;
