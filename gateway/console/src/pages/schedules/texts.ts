import { catalogue, counted } from "../../i18n/catalogue";

export const schedulesTexts = catalogue({
  en: {
    title: "Schedules",
    name: "Schedule",
    times: "Times",
    submits: "Submits",
    tenant: "Tenant",
    next: "Next",
    paused: "paused",
    over: "no more times",
    more: "More schedules",
    every: (time: string) => `every ${time}`,
    moments: (number: string) => counted(number, "moment"),
    none: "There is no schedule",
    noneHelp: "Create one with taskgate schedule create, or with POST /gateway/v1/schedules.",
  },
  zh: {
    title: "计划",
    name: "计划",
    times: "时间",
    submits: "提交",
    tenant: "租户",
    next: "下一次",
    paused: "已暂停",
    over: "没有后续时间",
    more: "更多计划",
    every: (time: string) => `每 ${time}`,
    moments: (number: string) => `${number} 个时刻`,
    none: "没有计划",
    noneHelp: "使用 taskgate schedule create 或 POST /gateway/v1/schedules 创建。",
  },
});
