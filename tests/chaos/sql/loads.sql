-- Loads that are half there, and loads whose number of rows is not what was recorded.
select format('load %s of %s is still loading', l.load_id, d.name)
from interlock.load l join interlock.dataset d using (dataset_id) where l.state = 'loading'
union all
select format('version %s of %s is a load that has no record', v.version, d.name)
from interlock.version v join interlock.dataset d using (dataset_id)
where d.layer = 'raw' and not exists (select from interlock.load l where l.load_id = v.version)
