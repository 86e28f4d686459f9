-- What the database knows of each dataset's contract, whether anything is served under it, and whether it is out of use.
select d.name, d.content_digest, d.clause_digest,
  exists (select from interlock.partition p where p.dataset_id = d.dataset_id and p.version is not null) as is_served,
  d.retired_at is not null as is_retired
from interlock.dataset d
