import os, signal, subprocess, sys, time
from interlock.db.connection import Role
def test_x(filled):
    q = "select datname from pg_database where position('_drill_' in datname) > 0"
    with open("/tmp/w/zz.txt","w") as out:
      for wait in (0, 0, 0.02,0.05,0.1,0.3,0.6, 2, 4):
        p = subprocess.Popen([sys.executable, "-X", "faulthandler", "-m", "interlock", "drill"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ)
        while not filled.rows(Role.ADMIN, q):
            time.sleep(0.005)
        time.sleep(wait)
        t=time.time()
        p.send_signal(signal.SIGTERM)
        n=0
        while p.poll() is None:
            time.sleep(0.1); n+=1
            if n%20==0: 
                print(round(time.time()-t,1), filled.rows(Role.ADMIN, "select pid, datname, state, wait_event, left(query,80) from pg_stat_activity where application_name like 'interlock%%' or application_name in ('psql','pg_dump')"), filled.rows(Role.ADMIN,q), open(f"/proc/{p.pid}/wchan").read(), file=out, flush=True)
            if n==50: p.send_signal(signal.SIGABRT)
        print(wait, "took", time.time()-t, p.communicate()[0].decode(), p.returncode, filled.rows(Role.ADMIN,q), file=out, flush=True)
