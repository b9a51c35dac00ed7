"""What was last changed of which document, also of deleted ones: what watching resumes by.

Triggers write it, so that no statement that changes a document can forget to. They stamp each change with
its transaction's number, and a snapshot of Postgres tells which transactions a reader has seen.
"""

from __future__ import annotations

from minirag.migrations.ingestion import ALLOWED, PLATFORM, Part, only_allowed

# A statement ends in `;` and a new line: inside the functions, blanks follow.
_STATEMENTS = """
CREATE TABLE document_changes (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    -- No foreign key: that a document is gone is told after its row has gone.
    document_id uuid NOT NULL,
    collection_id uuid NOT NULL,
    add_change bigint NOT NULL,
    last_change bigint NOT NULL,
    delete_time timestamptz,
    PRIMARY KEY (tenant_id, document_id)
);
CREATE INDEX document_changes_last_idx
    ON document_changes (tenant_id, last_change, document_id);
CREATE INDEX document_changes_collection_idx
    ON document_changes (tenant_id, collection_id, last_change, document_id);
CREATE INDEX document_changes_delete_time_idx
    ON document_changes (delete_time) WHERE delete_time IS NOT NULL;

CREATE FUNCTION this_change() RETURNS bigint LANGUAGE sql VOLATILE
    RETURN pg_current_xact_id()::text::bigint;

CREATE FUNCTION note_document_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO document_changes
        VALUES (NEW.tenant_id, NEW.id, NEW.collection_id, this_change(), this_change(),
                NEW.delete_time); --
    ELSIF TG_OP = 'UPDATE' THEN
        UPDATE document_changes SET last_change = this_change(), delete_time = NEW.delete_time
        WHERE tenant_id = NEW.tenant_id AND document_id = NEW.id AND delete_time IS NULL; --
    ELSE
        UPDATE document_changes SET last_change = this_change(), delete_time = clock_timestamp()
        WHERE tenant_id = OLD.tenant_id AND document_id = OLD.id AND delete_time IS NULL; --
    END IF; --
    RETURN NULL; --
END $$;
CREATE TRIGGER note_document_change AFTER INSERT OR UPDATE OR DELETE ON documents
    FOR EACH ROW EXECUTE FUNCTION note_document_change();

-- Its documents are invisible from this moment on, though their rows go later and one by one.
CREATE FUNCTION note_collection_deletion() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE document_changes SET last_change = this_change(), delete_time = NEW.delete_time
    WHERE tenant_id = NEW.tenant_id AND collection_id = NEW.id AND delete_time IS NULL; --
    RETURN NULL; --
END $$;
CREATE TRIGGER note_collection_deletion AFTER UPDATE OF delete_time ON collections
    FOR EACH ROW WHEN (OLD.delete_time IS NULL AND NEW.delete_time IS NOT NULL)
    EXECUTE FUNCTION note_collection_deletion();

-- The owner itself is bound by row-level security, and would see none of the documents that are there.
ALTER TABLE documents NO FORCE ROW LEVEL SECURITY;
ALTER TABLE collections NO FORCE ROW LEVEL SECURITY;
INSERT INTO document_changes
    SELECT d.tenant_id, d.id, d.collection_id, this_change(), this_change(), NULL
    FROM documents d JOIN collections c ON c.tenant_id = d.tenant_id AND c.id = d.collection_id
    WHERE d.delete_time IS NULL AND c.delete_time IS NULL;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
ALTER TABLE collections FORCE ROW LEVEL SECURITY;

DROP INDEX documents_update_time_idx;
"""

# Nothing but what is past its time, to be deleted. A day longer than tokens are good for.
_POLICIES = f"""
CREATE POLICY platform_read ON document_changes FOR SELECT
    USING ({PLATFORM} AND delete_time < now() - interval '8 days');
CREATE POLICY platform_forget ON document_changes FOR DELETE
    USING ({PLATFORM} AND delete_time < now() - interval '8 days');
"""

PART = Part(
    statements=_STATEMENTS,
    tenant_tables=("document_changes",),
    restrictions={"document_changes": only_allowed(f"collection_id = ANY ({ALLOWED}::uuid[])")},
    policies=_POLICIES,
)
