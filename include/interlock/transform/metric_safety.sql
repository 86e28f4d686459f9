-- The safety of every partition of these datasets that the platform knows, within the days that are asked for.
select
  s.dataset, s.partition, s.state, s.safe, s.reasons, s.version, s.contract_version, s.verdict_id,
  s.bootstrapped, s.warnings, s.valid_until, s.clock_offset_seconds
from interlock.safety s
where s.dataset = any (%(datasets)s)
  and (s.partition = 'all' or s.partition between coalesce(%(start)s::text, '0001-01-01') and coalesce(%(end)s::text, '9999-12-31'))
order by s.dataset, s.partition
