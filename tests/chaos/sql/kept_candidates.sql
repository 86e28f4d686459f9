-- Sealed and never published: evidence that maintenance keeps for a while, and nobody reads.
select count(distinct t.version) from interlock.version_table t where t.attached_at is null
