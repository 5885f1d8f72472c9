// A client in a second language: generated from the same protos, run against a gateway at every stage.
//
// Addresses and keys come from the environment, which test_go_client.py sets. The worker behind the gateway does what
// the payload's member "do" says (contract-tests/support/contracts/probes.py).
package client

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	taskgatev1 "taskgate.test/client/taskgatev1"
)

var (
	address = os.Getenv("TASKGATE_GRPC_ADDRESS")
	key     = os.Getenv("TASKGATE_KEY")
	foreign = os.Getenv("TASKGATE_FOREIGN_KEY")
	project = os.Getenv("TASKGATE_PROJECT")
)

func dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func tasks(t *testing.T) taskgatev1.TaskServiceClient {
	t.Helper()
	return taskgatev1.NewTaskServiceClient(dial(t))
}

func as(t *testing.T, key string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
}

func probe(t *testing.T, do string) *taskgatev1.NewTask {
	t.Helper()
	payload, err := structpb.NewStruct(map[string]any{"do": do, "n": 3, "list": []any{1.5, "x", nil, true}})
	if err != nil {
		t.Fatal(err)
	}
	return &taskgatev1.NewTask{TaskType: "contract_probe", Payload: payload, ProjectId: proto.String(project)}
}

func submit(t *testing.T, service taskgatev1.TaskServiceClient, task *taskgatev1.NewTask) string {
	t.Helper()
	answer, err := service.Submit(as(t, key), &taskgatev1.SubmitRequest{Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Task.TaskId
}

// follow watches a task to its end, breaking the stream off after every answer; what it saw, in order.
func follow(t *testing.T, service taskgatev1.TaskServiceClient, id string) []*taskgatev1.Task {
	t.Helper()
	var seen []*taskgatev1.Task
	token := ""
	for {
		ctx, cancel := context.WithCancel(as(t, key))
		stream, err := service.Watch(ctx, &taskgatev1.WatchRequest{TaskId: id, ResumeToken: token})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		cancel()
		if err != nil {
			t.Fatalf("after %d answers: %v", len(seen), err)
		}
		if answer.ResumeToken == token {
			t.Fatal("a resumed stream repeated what was seen")
		}
		token = answer.ResumeToken
		seen = append(seen, answer.Task)
		if answer.Task.CompletedAt != nil {
			return seen
		}
	}
}

// refused checks the status, the stable reason and its domain; the details, for more.
func refused(t *testing.T, err error, code codes.Code, reason string) []any {
	t.Helper()
	found := status.Convert(err)
	if found.Code() != code {
		t.Fatalf("%v instead of %v", err, code)
	}
	for _, detail := range found.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			if info.Domain != "taskgate" || info.Reason != reason {
				t.Fatalf("%v instead of %s", info, reason)
			}
			return found.Details()
		}
	}
	t.Fatalf("%v carries no ErrorInfo", err)
	return nil
}

func TestHealth(t *testing.T) {
	health := healthpb.NewHealthClient(dial(t))
	answer, err := health.Check(as(t, key), &healthpb.HealthCheckRequest{Service: "taskgate.v1.TaskService"})
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Fatal(answer, err)
	}
}

func TestATaskRunsToItsEnd(t *testing.T) {
	service := tasks(t)
	id := submit(t, service, probe(t, "report"))
	seen := follow(t, service, id)
	last := seen[len(seen)-1]
	if last.Status != taskgatev1.TaskStatus_TASK_STATUS_COMPLETED || last.Progress != 100 {
		t.Fatal(last)
	}
	result := last.Result.AsMap()
	if result["nodes"] != 3.0 || result["name"] != "Zoë ☃" {
		t.Fatal(result)
	}
	got, err := service.Get(as(t, key), &taskgatev1.GetRequest{TaskId: id})
	if err != nil || !proto.Equal(got.Task, last) {
		t.Fatal(got, err)
	}
	if got.Task.StartedAt.AsTime().Before(got.Task.CreatedAt.AsTime().Add(-time.Second)) {
		t.Fatal(got.Task)
	}
}

func TestAFailureSaysWhy(t *testing.T) {
	service := tasks(t)
	seen := follow(t, service, submit(t, service, probe(t, "fatal no such thing")))
	last := seen[len(seen)-1]
	if last.Status != taskgatev1.TaskStatus_TASK_STATUS_FAILED || last.GetError() == "" {
		t.Fatal(last)
	}
}

func TestStopAndRetry(t *testing.T) {
	service := tasks(t)
	task := probe(t, "report")
	task.Start = &taskgatev1.NewTask_Delay{Delay: durationpb.New(time.Hour)}
	id := submit(t, service, task)
	stopped, err := service.Stop(as(t, key), &taskgatev1.StopRequest{TaskId: id})
	if err != nil || stopped.Task.Status != taskgatev1.TaskStatus_TASK_STATUS_FAILED {
		t.Fatal(stopped, err)
	}
	_, err = service.Stop(as(t, key), &taskgatev1.StopRequest{TaskId: id})
	refused(t, err, codes.FailedPrecondition, "TASK_NOT_STOPPABLE")
	retried, err := service.Retry(as(t, key), &taskgatev1.RetryRequest{TaskId: id})
	if err != nil || retried.Task.Retries != 1 {
		t.Fatal(retried, err)
	}
	seen := follow(t, service, id)
	if last := seen[len(seen)-1]; last.Status != taskgatev1.TaskStatus_TASK_STATUS_COMPLETED {
		t.Fatal(last)
	}
}

func TestARepeatedSubmitIsOneTask(t *testing.T) {
	service := tasks(t)
	request := &taskgatev1.SubmitRequest{Task: probe(t, ""), IdempotencyKey: proto.String(fmt.Sprint("go-", time.Now().UnixNano()))}
	ids := map[string]bool{}
	for range 3 {
		answer, err := service.Submit(as(t, key), request)
		if err != nil {
			t.Fatal(err)
		}
		ids[answer.Task.TaskId] = true
	}
	if len(ids) != 1 {
		t.Fatal(ids)
	}
}

func TestABatch(t *testing.T) {
	service := tasks(t)
	stream, err := service.SubmitBatch(as(t, key))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := stream.Send(&taskgatev1.SubmitBatchRequest{Part: &taskgatev1.SubmitBatchRequest_Task{Task: probe(t, "")}}); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil || len(answer.TaskIds) != 20 {
		t.Fatal(answer, err)
	}
	for _, id := range answer.TaskIds {
		follow(t, service, id)
	}
}

func TestPages(t *testing.T) {
	service := tasks(t)
	mine := map[string]bool{}
	for range 5 {
		mine[submit(t, service, probe(t, ""))] = true
	}
	found, token := map[string]bool{}, ""
	for {
		page, err := service.List(as(t, key), &taskgatev1.ListRequest{
			PageSize: 2, PageToken: token, TaskType: proto.String("contract_probe"),
			ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"task_id"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.Tasks {
			if found[task.TaskId] {
				t.Fatal(task.TaskId, "was listed twice")
			}
			found[task.TaskId] = true
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	for id := range mine {
		if !found[id] {
			t.Fatal(id, "is missing")
		}
	}
	stats, err := service.Stats(as(t, key), &taskgatev1.StatsRequest{})
	if err != nil || stats.Total != int64(len(found)) {
		t.Fatal(stats, len(found), err)
	}
}

func TestRefusals(t *testing.T) {
	service := tasks(t)
	id := submit(t, service, probe(t, ""))

	_, err := service.Get(as(t, foreign), &taskgatev1.GetRequest{TaskId: id})
	refused(t, err, codes.NotFound, "TASK_NOT_FOUND")

	_, err = service.Get(as(t, "ms_sk_nobody"), &taskgatev1.GetRequest{TaskId: id})
	refused(t, err, codes.Unauthenticated, "UNAUTHENTICATED")

	_, err = service.Submit(as(t, foreign), &taskgatev1.SubmitRequest{Task: probe(t, "")})
	refused(t, err, codes.PermissionDenied, "FORBIDDEN")

	task := probe(t, "")
	task.Priority = proto.Int32(99)
	_, err = service.Submit(as(t, key), &taskgatev1.SubmitRequest{Task: task})
	for _, detail := range refused(t, err, codes.InvalidArgument, "INVALID_REQUEST") {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			if bad.FieldViolations[0].Field != "task.priority" {
				t.Fatal(bad)
			}
			return
		}
	}
	t.Fatal("no field is named")
}

func TestADeadline(t *testing.T) {
	service := tasks(t)
	task := probe(t, "")
	task.Start = &taskgatev1.NewTask_Delay{Delay: durationpb.New(time.Hour)}
	id := submit(t, service, task)
	ctx, cancel := context.WithTimeout(as(t, key), 300*time.Millisecond)
	defer cancel()
	stream, err := service.Watch(ctx, &taskgatev1.WatchRequest{TaskId: id})
	for err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.DeadlineExceeded {
		t.Fatal(err)
	}
}
