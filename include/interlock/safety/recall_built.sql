-- What was built from one version of a partition, by which runs, and from when to when that was safe itself.
select n.name as dataset, b.partition, b.version, b.path, n.domain, n.layer, v.run_id, r.actor, v.created_at as built_at,
  min(s.since) as since, max(s.until) as until, coalesce(bool_or(s.version is not null and s.until is null), false) as stands
from interlock.dataset d
cross join lateral interlock.built_from(d.dataset_id, %(partition)s, %(version)s) as b
join interlock.dataset n on n.dataset_id = b.dataset_id
join interlock.version v on v.version = b.version
join interlock.run r on r.run_id = v.run_id
left join lateral interlock.stood(b.dataset_id, b.partition) as s on s.version = b.version
where d.name = %(dataset)s
group by n.name, b.partition, b.version, b.path, b.depth, n.domain, n.layer, v.run_id, r.actor, v.created_at
order by b.depth, n.name, b.partition, b.version
