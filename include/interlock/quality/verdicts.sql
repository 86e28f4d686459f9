-- Verdicts, newest first, or one of them; with its evidence where it is one.
select
  v.verdict_id, d.name as dataset, d.domain, d.layer, v.partition, v.version, v.outcome, v.contract_version,
  v.is_bootstrapped as bootstrapped, v.warnings, jsonb_array_length(v.evidence) as checks,
  (select count(*) from jsonb_array_elements(v.evidence) as e where e -> 'success' is distinct from 'true') as failed,
  exists (
    select from interlock.partition p
    where p.dataset_id = v.dataset_id and p.partition = v.partition and p.verdict_id = v.verdict_id and p.withdrawn_at is null) as is_served,
  v.run_id, v.judged_at, v.clause_digest, case when %(verdict_id)s::bigint is not null then v.evidence end as evidence
from interlock.verdict v
join interlock.dataset d on d.dataset_id = v.dataset_id
where (%(verdict_id)s::bigint is null or v.verdict_id = %(verdict_id)s)
  and (%(domains)s::text[] is null or d.domain = any (%(domains)s))
  and (%(datasets)s::text[] is null or d.name = any (%(datasets)s))
  and (%(layers)s::text[] is null or d.layer = any (%(layers)s))
  and (%(states)s::text[] is null or v.outcome = any (%(states)s))
  and (%(partitions)s::text[] is null or v.partition = any (%(partitions)s))
  and (%(partition_from)s::text is null or (v.partition <> 'all' and v.partition >= %(partition_from)s))
  and (%(partition_to)s::text is null or v.partition <= %(partition_to)s)
  and (%(since)s::timestamptz is null or v.judged_at >= %(since)s)
  and (%(until)s::timestamptz is null or v.judged_at < %(until)s)
  and (%(after_id)s::bigint is null or v.verdict_id < %(after_id)s)
order by v.verdict_id desc
limit %(limit)s
