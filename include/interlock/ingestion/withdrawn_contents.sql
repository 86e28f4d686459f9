-- Contents of a partition that were recalled or withdrawn, with the newest load of each and why.
select distinct on (content_hash) content_hash, load_id, why
from interlock.withdrawn_contents(%(dataset)s, %(partition)s)
order by content_hash, load_id desc
