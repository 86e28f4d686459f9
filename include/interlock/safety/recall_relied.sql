-- Who was told that it was safe, of one version of a partition or of what was built from it: a row for whoever asked in the same
-- way about the same dataset. What names its versions is taken at its word. An answer about a window names none: it rests on
-- each day of the window in the version that stood when it was given; two seconds may lie between the answer and its note.
with built as materialized (
  select b.*
  from interlock.dataset d cross join lateral interlock.built_from(d.dataset_id, %(partition)s, %(version)s) as b
  where d.name = %(dataset)s
),
touched as (
  select r.ctid as note, r.*, b.partition as on_partition, b.version as on_version
  from built b
  join interlock.reliance r on r.dataset_id = b.dataset_id and r.partition = b.partition and r.version = b.version
  union all
  select r.ctid, r.*, b.partition, b.version
  from interlock.reliance_basis x
  cross join lateral unnest(x.partitions, x.versions) as u (partition, version)
  join built b on b.partition = u.partition and b.version = u.version
  join interlock.reliance r on r.basis_id = x.basis_id and r.dataset_id = b.dataset_id
  where x.versions && (select array_agg(b.version) from built b)
  union all
  select r.ctid, r.*, b.partition, b.version
  from built b
  cross join lateral interlock.stood(b.dataset_id, b.partition) as s
  join interlock.reliance r on r.dataset_id = b.dataset_id and r.partition is null and r.basis_id is null
    and interlock.starts_on(b.partition) between r.first_day and r.last_day
    and r.minute between s.since - interval '1 minute' and coalesce(s.until, 'infinity') + interval '2 seconds'
    and tstzrange(r.first_at - interval '2 seconds', r.last_at, '[]') && tstzrange(s.since, s.until)
  where s.version = b.version
),
told as (
  select t.*, row_number() over (partition by t.note order by t.on_partition) as place
  from touched t where t.safe and t.last_at >= coalesce(%(since)s::timestamptz, '-infinity')
)
select t.who, t.via, t.consumer, x.owner, x.contact, t.kind, d.name as dataset, d.domain, t.metric, t.value, t.about,
  min(t.first_at) as first_at, max(t.last_at) as last_at, sum(t.count) filter (where t.place = 1) as times,
  array_agg(distinct t.on_partition order by t.on_partition) as partitions,
  array_agg(distinct t.on_version order by t.on_version) as versions
from told t
join interlock.dataset d on d.dataset_id = t.dataset_id
left join interlock.dependent x on x.kind = 'consumer' and x.name = t.consumer
group by t.who, t.via, t.consumer, x.owner, x.contact, t.kind, d.name, d.domain, t.metric, t.value, t.about
order by first_at, t.who
