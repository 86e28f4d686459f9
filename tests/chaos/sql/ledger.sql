-- Served partitions without accounts, and accounts that do not balance.
select format('%s %s: the ledger %s', d.name, p.partition, case when a.steps is null then 'has no account of it' else 'does not balance' end)
from interlock.partition p
join interlock.dataset d using (dataset_id)
left join (
  select x.dataset, x.partition, count(*) as steps, bool_and(x.balances) as balances from interlock.accounts x group by x.dataset, x.partition
) as a on a.dataset = d.name and a.partition = p.partition
where p.version is not null and not coalesce(a.balances, false)
