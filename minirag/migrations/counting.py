"""Counters that the database keeps itself, so that no statement, cascade or erasure can forget them.

`tenant_totals`: what a tenant has stored, in several slots. Its triggers are deferred: a slot is locked for
the moment of the commit and after every other lock, so that uploads neither wait for each other nor meet in
a deadlock. One transaction uses one slot.

`budgets.used`: what usage_records say of the period, wherever a budget is counted at all. Whoever begins a
budget's period takes the sum under an exclusive advisory lock that every writer of usage holds shared.
Locks are taken in the order: advisory lock, then budgets by subject and measure.
"""

from __future__ import annotations

SLOTS = 16
NIL = "'00000000-0000-0000-0000-000000000000'::uuid"
UNMETERED_MODEL = "extractive"
"""The built-in model costs nobody anything: it counts in no budget."""

_ADD = f"""
CREATE FUNCTION add_to_totals(
    of_tenant uuid, more_documents bigint, more_bytes bigint, more_chunks bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenant_totals
    SET documents = documents + more_documents,
        stored_bytes = stored_bytes + more_bytes,
        chunks = chunks + more_chunks
    WHERE tenant_id = of_tenant AND slot = pg_backend_pid() % {SLOTS};
    IF NOT FOUND THEN
        -- From its tenant, so that nothing is added for one that was removed in this transaction.
        INSERT INTO tenant_totals AS kept (tenant_id, slot, documents, stored_bytes, chunks)
        SELECT id, pg_backend_pid() % {SLOTS}, more_documents, more_bytes, more_chunks
        FROM tenants WHERE id = of_tenant
        ON CONFLICT (tenant_id, slot) DO UPDATE
        SET documents = kept.documents + excluded.documents,
            stored_bytes = kept.stored_bytes + excluded.stored_bytes,
            chunks = kept.chunks + excluded.chunks;
    END IF;
END
$$
"""  # noqa: S608  # constants of this module

_COUNT_DOCUMENT = """
CREATE FUNCTION count_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_to_totals(NEW.tenant_id, 1, 0, 0);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM add_to_totals(OLD.tenant_id, -1, 0, 0);
    ELSE
        PERFORM add_to_totals(
            NEW.tenant_id, CASE WHEN NEW.delete_time IS NULL THEN 1 ELSE -1 END, 0, 0
        );
    END IF;
    RETURN NULL;
END
$$
"""

_COUNT_VERSION = """
CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_to_totals(NEW.tenant_id, 0, NEW.byte_size, NEW.chunk_count);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM add_to_totals(OLD.tenant_id, 0, -OLD.byte_size, -OLD.chunk_count);
    ELSE
        PERFORM add_to_totals(
            NEW.tenant_id, 0, NEW.byte_size - OLD.byte_size, NEW.chunk_count - OLD.chunk_count
        );
    END IF;
    RETURN NULL;
END
$$
"""


def _counting(table: str, verb: str, function: str, condition: str | None = None) -> str:
    when = "" if condition is None else f" WHEN ({condition})"
    return (
        f"CREATE CONSTRAINT TRIGGER {function}_{verb.lower()} AFTER {verb} ON {table}"
        f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW{when} EXECUTE FUNCTION {function}()"
    )


_TRIGGERS = (
    _counting("documents", "INSERT", "count_document", "NEW.delete_time IS NULL"),
    _counting("documents", "DELETE", "count_document", "OLD.delete_time IS NULL"),
    _counting(
        "documents",
        "UPDATE",
        "count_document",
        "(OLD.delete_time IS NULL) <> (NEW.delete_time IS NULL)",
    ),
    _counting("document_versions", "INSERT", "count_version"),
    _counting("document_versions", "DELETE", "count_version"),
    _counting(
        "document_versions",
        "UPDATE",
        "count_version",
        "OLD.byte_size <> NEW.byte_size OR OLD.chunk_count <> NEW.chunk_count",
    ),
)

# The owner is bound by row-level security, too, while it is forced. The triggers above hold off writers.
_COUNT_WHAT_IS_THERE = (
    "ALTER TABLE documents NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE document_versions NO FORCE ROW LEVEL SECURITY",
    """
    INSERT INTO tenant_totals (tenant_id, slot, documents, stored_bytes, chunks)
    SELECT d.tenant_id, 0, count(DISTINCT d.id) FILTER (WHERE d.delete_time IS NULL),
           sum(v.byte_size), sum(v.chunk_count)
    FROM documents d
    JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.document_id = d.id
    GROUP BY d.tenant_id
    """,
    "ALTER TABLE documents FORCE ROW LEVEL SECURITY",
    "ALTER TABLE document_versions FORCE ROW LEVEL SECURITY",
)

_SPEND = f"""
CREATE FUNCTION spend_budgets() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    day date := (NEW.create_time AT TIME ZONE 'UTC')::date;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('budgets ' || NEW.tenant_id, 0));
    PERFORM FROM budgets
    WHERE tenant_id = NEW.tenant_id AND subject_id IN ({NIL}, NEW.key_id)
    ORDER BY subject_id, measure FOR NO KEY UPDATE;
    IF FOUND THEN
        UPDATE budgets
        SET used = used + CASE measure
            WHEN 'tokens_per_day' THEN NEW.input_tokens::numeric + NEW.output_tokens
            ELSE coalesce(NEW.cost_usd, 0)
        END
        WHERE tenant_id = NEW.tenant_id AND subject_id IN ({NIL}, NEW.key_id)
          AND period = CASE measure
              WHEN 'tokens_per_day' THEN day ELSE date_trunc('month', day)::date
          END;
    END IF;
    RETURN NULL;
END
$$
"""  # noqa: S608  # constants of this module

COUNTING = (
    _ADD,
    _COUNT_DOCUMENT,
    _COUNT_VERSION,
    *_TRIGGERS,
    *_COUNT_WHAT_IS_THERE,
    _SPEND,
    "CREATE TRIGGER spend_budgets AFTER INSERT ON usage_records FOR EACH ROW"
    f" WHEN (NEW.model <> '{UNMETERED_MODEL}') EXECUTE FUNCTION spend_budgets()",
)
