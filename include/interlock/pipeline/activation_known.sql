-- What the database knows of each dataset's contract, its columns, and whether anything is served under it.
select d.name, d.contract_version, d.clause_digest, d.columns,
  exists (select from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null) as is_served
from interlock.dataset d
